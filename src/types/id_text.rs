//! The text and the time of keys.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Error, Result};

/// Returns the time in a version 7 UUID.
pub fn time_of(uuid: Uuid) -> Option<DateTime<Utc>> {
    if uuid.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanoseconds) = uuid.get_timestamp()?.to_unix();
    DateTime::from_timestamp(seconds.try_into().ok()?, nanoseconds)
}

/// Parses the text of a key of the type `name`.
///
/// # Errors
/// - [`Error::InvalidInput`] if it is not a UUID
pub fn parse_id(text: &str, name: &'static str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|error| Error::invalid(name, error))
}
