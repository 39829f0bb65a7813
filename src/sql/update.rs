//! `UPDATE` of one row.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types;

use super::target::{Target, separate};
use super::{Identity, Sql, Statement};
#[cfg(any(feature = "async", feature = "blocking"))]
use crate::Error;
use crate::mapping::{Changes, RowSql};
use crate::types::timestamp::ComparedTime;

/// `UPDATE ... WHERE id = ... RETURNING`, of one row. It names only the columns that are set. So it
/// needs no right to change the others, fires no trigger on them, and the server sees which indexes
/// need no new entry.
///
/// Without a column to set it is `SELECT ... WHERE id = ...`: changes without an assignment return
/// the row as it is, and have the condition of any other changes.
pub struct Update<'a, C: Changes> {
    id: C::Id,
    changes: &'a C,
    target: Target<C::Table, C::Row>,
}

/// Updates one row.
pub fn update<C: Changes>(id: C::Id, changes: &C) -> Sql<Update<'_, C>> {
    Sql(Update {
        id,
        changes,
        target: Target::new(),
    })
}

/// `UPDATE ... SET` of the columns that are set.
pub(super) fn push_update<'b, C: Changes>(
    changes: &'b C,
    target: &'b Target<C::Table, C::Row>,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    out.push_sql("UPDATE ");
    target.table.walk_ast(out.reborrow())?;
    out.push_sql(" SET ");
    let set = (0..C::COLUMNS.len()).filter(|&index| changes.is_set(index));
    for (position, index) in set.enumerate() {
        separate(out, position, ", ");
        out.push_identifier(C::COLUMNS[index].name)?;
        out.push_sql(" = ");
        changes.bind(index, out)?;
        out.push_sql(C::COLUMNS[index].cast);
    }
    Ok(())
}

impl<C: Changes> Statement for Update<'_, C> {
    type SqlType = RowSql<C::Row>;
    type Id = Update<'static, C>;
    const IDENTITY: Identity = Identity::Shape;
    const IS_CACHEABLE: bool = true;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let is_empty = self.changes.is_empty();
        if is_empty {
            self.target.push_select(&mut out)?;
        } else {
            push_update(self.changes, &self.target, &mut out)?;
        }
        out.push_sql(" WHERE \"id\" = ");
        out.push_bind_param::<sql_types::Uuid, _>(&self.id)?;
        if let Some(Some(expected)) = self.changes.expected() {
            out.push_sql(" AND \"updated_at\" = ");
            out.push_bind_param::<ComparedTime, _>(expected)?;
        }
        if !is_empty {
            out.push_sql(" RETURNING ");
            self.target.returning.walk_ast(out)?;
        }
        Ok(())
    }

    fn push_binds<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let set = (0..C::COLUMNS.len()).filter(|&index| self.changes.is_set(index));
        for index in set {
            self.changes.bind(index, &mut out)?;
        }
        out.push_bind_param::<sql_types::Uuid, _>(&self.id)?;
        if let Some(Some(expected)) = self.changes.expected() {
            out.push_bind_param::<ComparedTime, _>(expected)?;
        }
        Ok(())
    }

    /// Returns a bit for each column that is set, and one for the condition.
    fn shape(&self) -> u64 {
        const { assert!(C::COLUMNS.len() < 63, "a bit for each column") };
        let set = (0..C::COLUMNS.len()).filter(|&index| self.changes.is_set(index));
        let is_conditional = self.changes.expected().is_some_and(Option::is_some);
        let set = set.map(|index| 1 << index).sum::<u64>();
        set | u64::from(is_conditional) << 63
    }
}

#[cfg(any(feature = "async", feature = "blocking"))]
impl Error {
    /// Returns the reason why an update has changed no row. `exists` says whether the row is there.
    pub(crate) fn not_updated(what: &'static str, changes: &impl Changes, exists: bool) -> Self {
        match changes.expected() {
            _ if !exists => Self::NotFound { what },
            Some(Some(_)) => Self::StaleWrite { what },
            _ => Self::Suppressed { what },
        }
    }
}
