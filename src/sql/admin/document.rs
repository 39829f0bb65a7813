//! A report as one JSON document, which the server composes.
//!
//! The columns of the server's views differ between versions. `to_jsonb` of a row has those that
//! are there, so that one text serves all versions.

use diesel::QueryableByName;
use diesel::sql_types::Text;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// A row with a document.
#[derive(QueryableByName)]
pub(crate) struct Document {
    #[diesel(sql_type = Text)]
    document: String,
}

impl Document {
    /// Decodes the document.
    pub(crate) fn decode<T: DeserializeOwned>(&self, what: &'static str) -> Result<T> {
        serde_json::from_str(&self.document).map_err(|error| Error::Decode {
            what: what.into(),
            id: None,
            column: None,
            reason: error.to_string(),
        })
    }
}
