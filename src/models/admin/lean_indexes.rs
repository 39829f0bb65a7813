//! The design's indexes that the crate does without.

/// An index of the design that no statement of this crate needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeanIndex {
    /// The table, with its schema.
    pub table: String,
    /// The index, with its schema.
    pub index: String,
    /// The reason why it is not needed.
    pub reason: LeanReason,
    /// The size of the index, in bytes.
    pub bytes: u64,
    /// The number of scans of the index since the statistics were reset. It counts the statements
    /// of all clients.
    pub scans: u64,
    /// The statement that drops the index without blocking writers. It must run outside a
    /// transaction.
    pub drop: String,
    /// The statement that creates the index again, as the design has it, without blocking writers.
    /// It must run outside a transaction.
    pub create: String,
}

/// The reason why an index is not needed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeanReason {
    /// No statement of this crate has a condition or an order that the index serves.
    Unused,
    /// Another index of the table begins with the same columns. It is named here with its schema.
    ///
    /// The other index serves the same statements. It may be larger, so that a count reads more of
    /// it.
    Repeats(String),
    /// The index is on `updated_at`, which every update of a row changes. PostgreSQL can update a
    /// row without writing its indexes (HOT) only if no index has a column that changes.
    ///
    /// Lists in the order of the last update sort all rows that the filter matches without it.
    PreventsHotUpdates,
}
