//! Reads and deletes of a table's rows by their keys, one implementation for all tables.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{self, Bool};
use uuid::Uuid;

use super::list::push_any_of;
use super::target::Target;
use super::{Sql, Statement};
use crate::mapping::{RowSql, TableRow};
use crate::types::ids::uuids;

type TargetOf<R> = Target<<R as TableRow>::Table, R>;

/// `SELECT ... WHERE id = ...`.
pub struct FindById<R: TableRow> {
    id: Uuid,
    target: TargetOf<R>,
}

/// `SELECT ... WHERE id = ANY(...)`.
pub struct FindByIds<R: TableRow> {
    ids: Vec<Uuid>,
    target: TargetOf<R>,
}

/// `SELECT EXISTS (...)` of the row with a key.
pub struct ExistsById<R: TableRow> {
    id: Uuid,
    target: TargetOf<R>,
}

/// `DELETE ... WHERE id = ...`.
pub struct DeleteById<R: TableRow> {
    id: Uuid,
    target: TargetOf<R>,
}

/// Finds the row with this key.
pub fn find_by_id<R: TableRow>(id: R::Id) -> Sql<FindById<R>> {
    Sql(FindById {
        id: id.into(),
        target: Target::new(),
    })
}

/// Finds the rows with these keys, in no particular order.
pub fn find_by_ids<R: TableRow>(ids: &[R::Id]) -> Sql<FindByIds<R>> {
    Sql(FindByIds {
        ids: uuids(ids),
        target: Target::new(),
    })
}

/// Checks whether there is a row with this key.
pub fn exists_by_id<R: TableRow>(id: R::Id) -> Sql<ExistsById<R>> {
    Sql(ExistsById {
        id: id.into(),
        target: Target::new(),
    })
}

/// Deletes the row with this key.
pub fn delete_by_id<R: TableRow>(id: R::Id) -> Sql<DeleteById<R>> {
    Sql(DeleteById {
        id: id.into(),
        target: Target::new(),
    })
}

impl<R: TableRow> Statement for FindById<R> {
    type SqlType = RowSql<R>;
    type Id = Self;
    const IS_CACHEABLE: bool = true;
    const BINDS: usize = 1;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.target.push_select(&mut out)?;
        out.push_sql(" WHERE \"id\" = ");
        out.push_bind_param::<sql_types::Uuid, _>(&self.id)
    }

    fn push_binds<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<sql_types::Uuid, _>(&self.id)
    }
}

impl<R: TableRow> Statement for FindByIds<R> {
    type SqlType = RowSql<R>;
    type Id = Self;
    const IS_CACHEABLE: bool = true;
    const BINDS: usize = 1;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.target.push_select(&mut out)?;
        out.push_sql(" WHERE \"id\" = ");
        push_any_of(&mut out, &self.ids)
    }
}

impl<R: TableRow> Statement for ExistsById<R> {
    type SqlType = Bool;
    type Id = Self;
    const IS_CACHEABLE: bool = true;
    const BINDS: usize = 1;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT EXISTS (SELECT FROM ");
        self.target.table.walk_ast(out.reborrow())?;
        out.push_sql(" WHERE \"id\" = ");
        out.push_bind_param::<sql_types::Uuid, _>(&self.id)?;
        out.push_sql(")");
        Ok(())
    }
}

impl<R: TableRow> Statement for DeleteById<R> {
    type SqlType = ();
    type Id = Self;
    const IS_CACHEABLE: bool = true;
    const BINDS: usize = 1;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("DELETE FROM ");
        self.target.table.walk_ast(out.reborrow())?;
        out.push_sql(" WHERE \"id\" = ");
        out.push_bind_param::<sql_types::Uuid, _>(&self.id)
    }
}
