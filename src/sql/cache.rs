//! The statements of the cache.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Array, Bool, Nullable, Text, Timestamptz};

use super::Statement;
use super::timeline::timeline;
use crate::write_set::CACHED_TABLES;

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

/// The query for the id and the timeline of this transaction, and for the cached tables that it has
/// written.
///
/// A statement that writes a table locks it until the transaction ends, whatever executes it: the
/// caller, a function, a trigger or a cascade. A savepoint that is rolled back releases the locks
/// of what it undoes. So the locks of this session contain all tables that were written. A lock
/// that readers do not take counts as a write, and `TRUNCATE` and changes of the table's
/// definition take such locks, too. The counters of statistics would not do: a superuser can switch
/// them off, `TRUNCATE` resets them, and they contain earlier transactions of the session.
///
/// The third column is false if the locks say nothing: the [mark](crate::transaction::MARK) is
/// missing, so that other transactions may have run; or a table is missing, or its schema was
/// changed, so that the name may have been that of another table.
pub(crate) struct OwnWrites;

impl Statement for OwnWrites {
    type SqlType = (Nullable<Text>, Nullable<Text>, Bool, Array<Text>);
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH RECURSIVE held AS MATERIALIZED (\
                 SELECT locktype, relation, classid, objid FROM pg_catalog.pg_locks \
                 WHERE pid = pg_catalog.pg_backend_pid() \
                 AND locktype IN ('relation', 'advisory') \
                 AND mode NOT IN ('AccessShareLock', 'RowShareLock')\
             ), written (relation) AS (\
                 SELECT relation FROM held WHERE locktype = 'relation' \
                 UNION \
                 SELECT child.inhparent FROM pg_catalog.pg_inherits AS child \
                 JOIN written ON written.relation = child.inhrelid\
             ), cached AS (\
                 SELECT class.oid, name, pg_catalog.age(space.xmin) > 0 AS is_known \
                 FROM (VALUES ",
        );
        for (index, table) in CACHED_TABLES.iter().enumerate() {
            if index > 0 {
                out.push_sql(", ");
            }
            out.push_sql("('");
            out.push_sql(table.as_str());
            out.push_sql("')");
        }
        out.push_sql(
            ") AS listed (name) \
                 LEFT JOIN pg_catalog.pg_namespace AS space \
                 ON space.nspname = pg_catalog.split_part(name, '.', 1)::pg_catalog.name \
                 LEFT JOIN pg_catalog.pg_class AS class \
                 ON class.relnamespace = space.oid \
                 AND class.relname = pg_catalog.split_part(name, '.', 2)::pg_catalog.name\
             ) \
             SELECT pg_catalog.pg_current_xact_id_if_assigned()::text AS id, \
             CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL ELSE ",
        );
        out.push_sql(timeline!());
        out.push_sql(
            " END AS timeline, \
             EXISTS (SELECT FROM held WHERE locktype = 'advisory' \
                 AND classid = 2004184676 AND objid = 1919181428) \
             AND (SELECT pg_catalog.bool_and(is_known AND oid IS NOT NULL) FROM cached) AS is_known, \
             ARRAY(SELECT name FROM cached WHERE oid IN (SELECT relation FROM written)) AS written",
        );
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
