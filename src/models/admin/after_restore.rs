//! The care of a database that was restored.

#[cfg(feature = "migrations")]
use crate::migrations::Rights;

/// What a restored database is given besides that which every database of this crate has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct AfterRestoreOptions {
    pub(crate) months_ahead: u32,
    #[cfg(feature = "migrations")]
    pub(crate) grants: Vec<(String, Rights)>,
}

impl Default for AfterRestoreOptions {
    fn default() -> Self {
        Self {
            months_ahead: 3,
            #[cfg(feature = "migrations")]
            grants: Vec::new(),
        }
    }
}

impl AfterRestoreOptions {
    /// Creates options with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the number of months after this one for which the logs get partitions.
    ///
    /// Default: 3. At most 120.
    pub fn months_ahead(mut self, months: u32) -> Self {
        self.months_ahead = months;
        self
    }

    /// Gives a role its rights, as [`migrations::grant`](crate::migrations::grant) does. A dump
    /// without privileges (`--no-acl`) has none. Default: no role.
    #[cfg(feature = "migrations")]
    pub fn grant(mut self, role: impl Into<String>, rights: Rights) -> Self {
        self.grants.push((role.into(), rights));
        self
    }
}

/// What was done to a restored database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AfterRestore {
    /// The number of analyses that were running when the backup was made, and are pending now.
    pub requeued: u64,
    /// The number of other leases that were deleted.
    pub leases: u64,
    /// The number from which the fences of leases continue.
    pub fences_after: u64,
    /// The number of partitions that were created.
    pub partitions: u64,
    /// The `search_path` of the database now. `None` if there is none, because only the owner of
    /// the database can set it.
    pub search_path: Option<String>,
    /// The functions that every role could execute, until now.
    pub revoked: Vec<String>,
    /// The roles that were given their rights.
    pub granted: Vec<String>,
    /// True if everything that was cached is invalid now. False if the `Db` has no cache.
    pub cache: bool,
    /// The tables with rows and without statistics of the planner. Run `VACUUM ANALYZE`, since a
    /// dump contains none.
    pub unanalyzed: Vec<String>,
}
