//! Timestamps in forms that people do not read: microseconds since 1970, which is what PostgreSQL keeps. In JSON they are
//! RFC 3339.

use chrono::{DateTime, Utc, serde::ts_microseconds};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<S: Serializer>(
    time: &DateTime<Utc>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        time.serialize(serializer)
    } else {
        ts_microseconds::serialize(time, serializer)
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<DateTime<Utc>, D::Error> {
    if deserializer.is_human_readable() {
        DateTime::deserialize(deserializer)
    } else {
        ts_microseconds::deserialize(deserializer)
    }
}

/// Of columns that may be NULL.
pub(crate) mod optional {
    use chrono::{DateTime, Utc, serde::ts_microseconds_option};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<DateTime<Utc>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            time.serialize(serializer)
        } else {
            ts_microseconds_option::serialize(time, serializer)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        if deserializer.is_human_readable() {
            Option::deserialize(deserializer)
        } else {
            ts_microseconds_option::deserialize(deserializer)
        }
    }
}
