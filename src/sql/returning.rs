//! `RETURNING` of a statement that writes what a filter matches.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::{Expression, QueryResult};

use super::delete::DeleteMatching;
use super::update_matching::UpdateMatching;
use super::{Identity, Sql, Statement};
use crate::mapping::Changes;

/// A statement that returns columns of each row that it has written.
pub struct Returning<S, R> {
    statement: S,
    columns: R,
}

impl<F, Q> Sql<DeleteMatching<F, Q>> {
    /// Returns these columns of each row that is deleted.
    pub fn returning<R>(self, columns: R) -> Sql<Returning<DeleteMatching<F, Q>, R>> {
        Sql(Returning {
            statement: self.0,
            columns,
        })
    }
}

impl<'a, C: Changes, Q> Sql<UpdateMatching<'a, C, Q>> {
    /// Returns these columns of each row that is updated.
    pub fn returning<R>(self, columns: R) -> Sql<Returning<UpdateMatching<'a, C, Q>, R>> {
        Sql(Returning {
            statement: self.0,
            columns,
        })
    }
}

impl<S, R> Statement for Returning<S, R>
where
    S: Statement,
    R: QueryFragment<Pg> + Expression,
{
    type SqlType = R::SqlType;
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.statement.push(out.reborrow())?;
        out.push_sql(" RETURNING ");
        self.columns.walk_ast(out)
    }
}
