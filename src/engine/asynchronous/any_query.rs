//! Queries and statements without their types.
//!
//! The type of a query names each of its parts. Only what writes the query is compiled for each of
//! them. The functions that bind, send and receive are compiled once.

use std::any::TypeId;

use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::query_builder::{
    AstPass, BoxedSelectStatement, BoxedSqlQuery, DeleteStatement, QueryFragment, QueryId,
    SelectStatement, SqlQuery, UpdateStatement,
};
use diesel::{QueryResult, QuerySource};

use crate::engine::connection::{BoundStatement, Connection, FixedKey, key_of};
use crate::sql::settings::Settings;
use crate::sql::{AnyStatement, Identity, Sql, Statement, Untyped};

/// A query or statement that the executor runs.
///
/// It is implemented for the statements of diesel and of this crate one by one, since each of the
/// two kinds loses its type in another way.
#[diagnostic::on_unimplemented(
    note = "call `into_boxed` on an `sql_query` before its binds, or pass it to `cacheable`"
)]
pub trait Runnable: Send {
    /// Returns the query without its type.
    fn untyped<'q>(self) -> AnyQuery<'q>
    where
        Self: 'q;
}

/// A query without its type.
pub struct AnyQuery<'q> {
    statement: Box<dyn AnyStatement + Send + 'q>,
    is_cacheable: bool,
    /// Set if its text follows from it.
    key: Option<FixedKey>,
}

impl AnyQuery<'_> {
    /// Sets the key of a query whose text follows from its type and a number.
    pub(super) fn with_key(mut self, key: FixedKey) -> Self {
        self.key = Some(key);
        self
    }

    pub(super) fn bound_to(
        self,
        connection: &Connection,
        settings: Option<&Settings<'_>>,
    ) -> QueryResult<BoundStatement> {
        let untyped = Untyped::new(&*self.statement, self.is_cacheable);
        connection.bind_with_settings(&untyped, self.key, settings)
    }
}

impl<S: Statement + Send> Runnable for Sql<S> {
    fn untyped<'q>(self) -> AnyQuery<'q>
    where
        Self: 'q,
    {
        let key = match S::IDENTITY {
            Identity::Type => Some((TypeId::of::<S::Id>(), 0, 0)),
            Identity::Shape => Some((TypeId::of::<S::Id>(), self.0.shape(), 0)),
            Identity::Text => None,
        };
        AnyQuery {
            statement: Box::new(self.0),
            is_cacheable: S::IS_CACHEABLE,
            key,
        }
    }
}

/// A statement of diesel.
struct OfDiesel<Q>(Q);

impl<Q: QueryFragment<Pg>> AnyStatement for OfDiesel<Q> {
    fn push_any<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

/// Returns a query of diesel's without its type.
pub(super) fn of_diesel<'q, Q>(query: Q) -> AnyQuery<'q>
where
    Q: QueryFragment<Pg> + QueryId + Send + 'q,
{
    AnyQuery {
        statement: Box::new(OfDiesel(query)),
        is_cacheable: false,
        key: key_of::<Q>(),
    }
}

macro_rules! runnable {
    ($($name:ident<$($lifetime:lifetime,)? $($parameter:ident $(: $bound:path)?),*>;)*) => {
        $(
            impl<$($lifetime,)? $($parameter $(: $bound)?),*> Runnable
                for $name<$($lifetime,)? $($parameter),*>
            where
                Self: QueryFragment<Pg> + QueryId + Send,
            {
                fn untyped<'q>(self) -> AnyQuery<'q>
                where
                    Self: 'q,
                {
                    of_diesel(self)
                }
            }
        )*
    };
}

runnable! {
    BoxedSelectStatement<'s, T, S, D, G>;
    BoxedSqlQuery<'s, D: Backend, I>;
    DeleteStatement<T: QuerySource, W, R>;
    SelectStatement<F, S, D, W, O, L, G, H, C>;
    SqlQuery<I>;
    UpdateStatement<T: QuerySource, W, V, R>;
}
