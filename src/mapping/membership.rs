//! Tables of members, which keep an owner.

use super::{Changes, NewRow};
use crate::{Constraint, Error};

/// The new row of a table of members, whose parent is never left without an owner.
pub trait Membership: NewRow {
    /// The changes to such a row.
    type Changes: Changes<Row = Self::Row, Table = Self::Table>;
    /// The column with the parent's key.
    const PARENT: &'static str;
    /// The role that one member must have, as SQL.
    const OWNER: &'static str;
    /// The table's name.
    const TABLE: &'static str;
    /// The rule's name, as if it was a constraint.
    const KEEPS_AN_OWNER: &'static str;

    /// Returns the error for the last owner.
    fn last_owner() -> Error {
        Error::Check(Constraint {
            table: Self::TABLE.to_owned(),
            name: Self::KEEPS_AN_OWNER.to_owned(),
            detail: None,
        })
    }
}
