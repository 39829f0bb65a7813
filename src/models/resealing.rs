//! Secrets by their keys, and how they are moved to another key.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{ConfigurationId, Error, IntegrationId};

/// The numbers of secrets by the key under which they are sealed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SecretCounts {
    /// The number of secrets under each key.
    pub by_key: BTreeMap<u16, u64>,
    /// The number of secrets that are stored in the clear.
    pub in_the_clear: u64,
}

/// The position after the last row of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResealCursor(pub(crate) Position);

/// The tables in their order, with the last row of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    Integrations(IntegrationId),
    Configurations(ConfigurationId),
}

impl Position {
    /// The position before all rows.
    pub(crate) fn start() -> Self {
        Self::Integrations(Uuid::nil().into())
    }

    /// The position before the rows of the second table.
    pub(crate) fn configurations() -> Self {
        Self::Configurations(Uuid::nil().into())
    }
}

/// The outcome of one batch.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Resealed {
    /// The number of secrets that were sealed under the active key.
    pub resealed: u64,
    /// The number of rows that another transaction changed or locked meanwhile. They were left as
    /// they are.
    pub skipped: u64,
    /// The secrets that could not be sealed. They were left as they are.
    pub failures: Vec<ResealFailure>,
    /// The position for the next batch. `None` after the last row.
    pub next: Option<ResealCursor>,
}

/// A secret that could not be sealed under the active key.
#[derive(Debug)]
#[non_exhaustive]
pub struct ResealFailure {
    /// The column with its table, for example `setup.integrations.credentials`.
    pub column: &'static str,
    /// The id of the row.
    pub row: Uuid,
    /// The reason: [`Error::Sealed`] if the secret did not open, or [`Error::InvalidInput`] if it
    /// does not fit into the column once it is sealed.
    pub error: Error,
}
