//! The trait of the statements that are written by hand, and the wrapper that diesel runs.
//!
//! # What diesel requires of a statement
//!
//! - [`QueryFragment`]: its text and its binds. diesel calls one function, `walk_ast`, to build the
//!   text, to collect the binds, and to find out whether the statement may be kept prepared.
//! - [`QueryId`]: whether its type determines its text. If so, a connection finds the prepared
//!   statement by the type, and builds no text. If not, it builds the text and finds the prepared
//!   statement by that.
//! - [`Query`]: the SQL types of the columns that it returns.
//! - `RunQueryDsl`: that it can be run by itself. Only the blocking engine needs it.
//!
//! A statement implements [`Statement`] and is run as [`Sql`], which implements these four in one
//! place.

use std::any::TypeId;

use diesel::QueryResult;
use diesel::pg::{Pg, PgMetadataLookup, PgQueryBuilder};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};

use super::cached_text::{Shape, push_cached_text};

/// A statement that is written by hand. It is run as [`Sql`].
pub trait Statement {
    /// The SQL types of the columns that it returns; `()` if it returns no rows.
    type SqlType;
    /// The type that stands for the statement where its identity needs one: itself, with static
    /// lifetimes.
    type Id: 'static;
    /// The determinant of the text.
    const IDENTITY: Identity = Identity::Type;
    /// True if the statement may be kept prepared whatever it consists of. Otherwise diesel asks
    /// its parts.
    const IS_CACHEABLE: bool = false;
    /// The number of binds to reserve space for.
    const BINDS: usize = 0;

    /// Writes the text, and the binds in their places.
    fn push<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()>;

    /// Writes the same binds in the same order, without the text.
    fn push_binds<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.push(out)
    }

    /// Returns the number that determines the text together with the type.
    fn shape(&self) -> u64 {
        0
    }
}

/// The determinant of a statement's text, by which its prepared statement is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The type [`Statement::Id`].
    Type,
    /// The type [`Statement::Id`] and the number [`Statement::shape`]. The async engine finds the
    /// prepared statement by these. diesel's blocking engine finds it by the text, which is built
    /// once in the process.
    Shape,
    /// More than that. The prepared statement is found by the text.
    Text,
}

/// A statement as diesel runs it.
#[derive(Debug, Clone, Copy)]
pub struct Sql<S>(pub(crate) S);

impl<S: Statement> QueryFragment<Pg> for Sql<S> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.push(out)
    }

    fn to_sql(&self, out: &mut PgQueryBuilder, backend: &Pg) -> QueryResult<()> {
        match S::IDENTITY {
            Identity::Shape => {
                let shape: Shape = (TypeId::of::<S::Id>(), self.0.shape());
                push_cached_text(&Walked(&self.0), shape, out)
            }
            Identity::Type | Identity::Text => Walked(&self.0).to_sql(out, backend),
        }
    }

    fn is_safe_to_cache_prepared(&self, backend: &Pg) -> QueryResult<bool> {
        if S::IS_CACHEABLE {
            return Ok(true);
        }
        Walked(&self.0).is_safe_to_cache_prepared(backend)
    }

    fn is_noop(&self, _: &Pg) -> QueryResult<bool> {
        Ok(false)
    }

    fn collect_binds<'b>(
        &'b self,
        out: &mut RawBytesBindCollector<Pg>,
        lookup: &mut (dyn PgMetadataLookup + 'static),
        backend: &'b Pg,
    ) -> QueryResult<()> {
        out.binds.reserve(S::BINDS);
        out.metadata.reserve(S::BINDS);
        Binds(&self.0).collect_binds(out, lookup, backend)
    }
}

impl<S: Statement> QueryId for Sql<S> {
    type QueryId = S::Id;
    const HAS_STATIC_QUERY_ID: bool = matches!(S::IDENTITY, Identity::Type);
}

impl<S: Statement> Query for Sql<S> {
    type SqlType = S::SqlType;
}

#[cfg(feature = "blocking")]
impl<S: Statement, C> diesel::RunQueryDsl<C> for Sql<S> {}

/// A statement as a trait object, so that what is derived from the two ways to walk it is compiled
/// once.
pub(crate) trait AnyStatement {
    /// Writes the text, and the binds in their places.
    fn push_any<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()>;

    /// Writes the same binds in the same order, without the text.
    fn push_any_binds<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.push_any(out)
    }
}

impl<S: Statement> AnyStatement for S {
    fn push_any<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.push(out)
    }

    fn push_any_binds<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.push_binds(out)
    }
}

/// The text and the binds of a statement.
struct Walked<'s>(&'s dyn AnyStatement);

impl QueryFragment<Pg> for Walked<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.push_any(out)
    }
}

/// The binds of a statement alone.
struct Binds<'s>(&'s dyn AnyStatement);

impl QueryFragment<Pg> for Binds<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.push_any_binds(out)
    }
}

/// A statement of any type, as the async engine's connection binds it.
#[cfg(feature = "async")]
pub(crate) struct Untyped<'s> {
    statement: &'s dyn AnyStatement,
    is_cacheable: bool,
}

#[cfg(feature = "async")]
impl<'s> Untyped<'s> {
    /// `is_cacheable` is [`Statement::IS_CACHEABLE`].
    pub(crate) fn new(statement: &'s dyn AnyStatement, is_cacheable: bool) -> Self {
        Self {
            statement,
            is_cacheable,
        }
    }
}

#[cfg(feature = "async")]
impl QueryFragment<Pg> for Untyped<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.statement.push_any(out)
    }

    fn is_safe_to_cache_prepared(&self, backend: &Pg) -> QueryResult<bool> {
        if self.is_cacheable {
            return Ok(true);
        }
        Walked(self.statement).is_safe_to_cache_prepared(backend)
    }

    fn collect_binds<'b>(
        &'b self,
        out: &mut RawBytesBindCollector<Pg>,
        lookup: &mut (dyn PgMetadataLookup + 'static),
        backend: &'b Pg,
    ) -> QueryResult<()> {
        Binds(self.statement).collect_binds(out, lookup, backend)
    }
}
