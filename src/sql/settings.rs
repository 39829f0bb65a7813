//! Transaction-local settings that a statement makes by its binds.
//!
//! A statement outside a transaction needs the settings of its own transaction before it is
//! executed. To send `BEGIN`, the settings and `COMMIT` beside it would take two round trips more.
//! A setting is therefore an additional bind of a domain whose constraint makes the setting. The
//! text of the statement need not mention the bind: a client may declare the type of any parameter.
//!
//! PostgreSQL converts the binds in the transaction of the statement, before it plans or executes
//! the statement. The settings end with that transaction. An error of the conversion is the error
//! of the statement. So no statement is executed without its settings, and no setting outlives its
//! statement. See `docs/decisions/0007-settings-by-binds.md`.

use std::io::Write as _;
use std::marker::PhantomData;

use diesel::pg::{Pg, PgMetadataLookup, PgQueryBuilder};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::{IsNull, Output, ToSql};
use diesel::sql_types::SqlType;
use diesel::{QueryResult, serialize};

use crate::OrganizationId;

/// Ends the time limit of statements until the end of the transaction.
pub(crate) const WITHOUT_TIME_LIMIT: &str = "SET LOCAL statement_timeout = 0";

#[derive(SqlType, QueryId)]
#[diesel(postgres_type(name = "for_organization", schema = "public"))]
struct ForOrganization;

#[derive(SqlType, QueryId)]
#[diesel(postgres_type(name = "acting_as", schema = "public"))]
struct ActingAs;

/// The value of a setting, as it is sent.
#[derive(Debug)]
struct Value<'s>(&'s [u8]);

impl ToSql<ForOrganization, Pg> for Value<'_> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.0)?;
        Ok(IsNull::No)
    }
}

impl ToSql<ActingAs, Pg> for Value<'_> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.0)?;
        Ok(IsNull::No)
    }
}

/// The settings of one statement.
#[derive(Debug)]
pub(crate) struct Settings<'s> {
    organization: Option<Value<'s>>,
    actor: Option<Value<'s>>,
}

impl<'s> Settings<'s> {
    /// Returns the settings, if there are any. The actor is the text of the setting.
    pub(crate) fn new(
        organization: Option<&'s OrganizationId>,
        actor: Option<&'s str>,
    ) -> Option<Self> {
        (organization.is_some() || actor.is_some()).then(|| Self {
            organization: organization.map(|id| Value(id.as_uuid().as_bytes())),
            actor: actor.map(|text| Value(text.as_bytes())),
        })
    }

    /// Returns the number that stands for the settings that are made, whatever their values are.
    /// It is not zero.
    #[cfg(feature = "async")]
    pub(crate) fn kinds(&self) -> u8 {
        u8::from(self.organization.is_some()) | u8::from(self.actor.is_some()) << 1
    }
}

/// Begins a transaction with the server's defaults. Its settings are binds, as those of a
/// statement.
///
/// The server converts the binds in the transaction that `BEGIN` then keeps open, so that the
/// settings are local to all of it. The conversion takes the snapshot of the transaction. Options
/// that must come before it, such as the isolation level, cannot be given.
#[derive(QueryId)]
pub(crate) struct Begin;

impl QueryFragment<Pg> for Begin {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("BEGIN");
        Ok(())
    }
}

/// The binds, in a comment.
impl QueryFragment<Pg> for Settings<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" /*");
        if let Some(organization) = &self.organization {
            out.push_sql(" for_organization ");
            out.push_bind_param::<ForOrganization, _>(organization)?;
        }
        if let Some(actor) = &self.actor {
            out.push_sql(" acting_as ");
            out.push_bind_param::<ActingAs, _>(actor)?;
        }
        out.push_sql(" */");
        Ok(())
    }
}

/// A statement that makes settings. `ST` are the SQL types of its columns.
pub(crate) struct WithSettings<'s, ST = ()> {
    // A trait object, so that what runs it is compiled once for each type of rows.
    statement: &'s (dyn QueryFragment<Pg> + 's),
    settings: &'s Settings<'s>,
    columns: PhantomData<ST>,
}

impl<'s, ST> WithSettings<'s, ST> {
    pub(crate) fn new(
        statement: &'s (dyn QueryFragment<Pg> + 's),
        settings: &'s Settings<'s>,
    ) -> Self {
        Self {
            statement,
            settings,
            columns: PhantomData,
        }
    }
}

// Each call is passed on, since a statement may have its own way to write its text or its binds.
impl<ST> QueryFragment<Pg> for WithSettings<'_, ST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.statement.walk_ast(out.reborrow())?;
        self.settings.walk_ast(out)
    }

    fn to_sql(&self, out: &mut PgQueryBuilder, backend: &Pg) -> QueryResult<()> {
        self.statement.to_sql(out, backend)?;
        self.settings.to_sql(out, backend)
    }

    fn is_safe_to_cache_prepared(&self, backend: &Pg) -> QueryResult<bool> {
        self.statement.is_safe_to_cache_prepared(backend)
    }

    fn is_noop(&self, backend: &Pg) -> QueryResult<bool> {
        self.statement.is_noop(backend)
    }

    fn collect_binds<'b>(
        &'b self,
        out: &mut RawBytesBindCollector<Pg>,
        lookup: &mut (dyn PgMetadataLookup + 'static),
        backend: &'b Pg,
    ) -> QueryResult<()> {
        self.statement.collect_binds(out, lookup, backend)?;
        self.settings.collect_binds(out, lookup, backend)
    }
}

/// diesel finds it by its text.
impl<ST> QueryId for WithSettings<'_, ST> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

#[cfg(feature = "blocking")]
impl<ST> diesel::query_builder::Query for WithSettings<'_, ST> {
    type SqlType = ST;
}
