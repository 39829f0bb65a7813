//! The statements of the cache.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Bool, Nullable, Text, Timestamptz};

use super::Statement;
use super::timeline::timeline;

/// The query that identifies the database among those of its cluster, so that the values of another
/// one are not read.
///
/// It returns the database, the timeline, the server's time, and whether the role may read the
/// cluster's identifier by [`ClusterIdentity`].
pub(crate) struct DatabaseIdentity;

impl Statement for DatabaseIdentity {
    type SqlType = (Text, Text, Timestamptz, Bool);
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT oid::text || ':' || datname AS database, ");
        out.push_sql(timeline!());
        out.push_sql(
            " AS timeline, pg_catalog.clock_timestamp() AS now, \
             pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS tells_cluster \
             FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()",
        );
        Ok(())
    }
}

/// The query for the identifier of the cluster. It needs a right that not every role has.
pub(crate) struct ClusterIdentity;

impl Statement for ClusterIdentity {
    type SqlType = Text;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT system_identifier::text AS id FROM pg_catalog.pg_control_system()");
        Ok(())
    }
}

/// The query for a transaction id that is greater than all that were assigned before.
/// `pg_snapshot_xmax` would not do: it is one more than the greatest id of a transaction that has
/// *ended*.
pub(crate) struct NextTransaction;

impl Statement for NextTransaction {
    type SqlType = Text;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT pg_catalog.pg_current_xact_id()::text AS id");
        Ok(())
    }
}

/// The query for the id and the timeline of this transaction. The id is NULL if the transaction has
/// written nothing, the timeline if the server is a standby.
pub(crate) struct OwnTransaction;

impl Statement for OwnTransaction {
    type SqlType = (Nullable<Text>, Nullable<Text>);
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text AS id, \
             CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL ELSE ",
        );
        out.push_sql(timeline!());
        out.push_sql(" END AS timeline");
        Ok(())
    }
}

/// The query that checks whether all transactions before the one with this id have ended.
pub(crate) struct EndedBefore<'a>(pub(crate) &'a str);

impl Statement for EndedBefore<'_> {
    type SqlType = Bool;
    type Id = EndedBefore<'static>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= ");
        out.push_bind_param::<Text, _>(&self.0)?;
        out.push_sql("::pg_catalog.text::pg_catalog.xid8 AS yes");
        Ok(())
    }
}

/// The query that checks whether the transaction with this id has ended, so that later reads see
/// its writes. `pg_xact_status` may report the end a moment too early.
pub(crate) struct HasEnded<'a>(pub(crate) &'a str);

impl Statement for HasEnded<'_> {
    type SqlType = Bool;
    type Id = HasEnded<'static>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT pg_catalog.pg_visible_in_snapshot(");
        out.push_bind_param::<Text, _>(&self.0)?;
        out.push_sql(
            "::pg_catalog.text::pg_catalog.xid8, pg_catalog.pg_current_snapshot()) AS yes",
        );
        Ok(())
    }
}
