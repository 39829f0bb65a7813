//! The statements that archive a partition of a log, and restore it.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Text};

use crate::Result;
use crate::models::admin::{ArchiveReader, LogArchiveHeader};
use crate::models::partitions::LogTable;
use crate::sql::admin::default_partition::in_tries;
use crate::sql::copy::CopyData;

impl CopyData for ArchiveReader {
    fn take(&mut self, bytes: Option<&[u8]>, rows: &mut Vec<u8>) -> Result<bool> {
        self.take_rows(bytes, rows)
    }
}

/// Sets what the text form of the rows depends on, and removes the limit of the time of a
/// statement: the caller's stream may take any time.
pub(crate) const PREPARE: &str = "DO $$ BEGIN \
    SET LOCAL statement_timeout = 0; \
    SET LOCAL lock_timeout = '2s'; \
    SET LOCAL TimeZone = 'UTC'; \
    SET LOCAL DateStyle = 'ISO, YMD'; \
    SET LOCAL IntervalStyle = 'postgres'; \
    SET LOCAL extra_float_digits = 1; \
    SET LOCAL bytea_output = 'hex'; \
END $$";

/// The query for the columns of the table `$1`, in their order.
pub(crate) const COLUMNS: &str = "\
    SELECT pg_catalog.array_agg(attname::text ORDER BY attnum) AS columns \
    FROM pg_catalog.pg_attribute \
    WHERE attrelid = pg_catalog.to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''";

/// The row of [`COLUMNS`].
#[derive(QueryableByName)]
pub(crate) struct TableColumns {
    #[diesel(sql_type = diesel::sql_types::Nullable<Array<Text>>)]
    pub(crate) columns: Option<Vec<String>>,
}

/// The row of the statements that restore a month.
#[derive(QueryableByName)]
pub(crate) struct Count {
    #[diesel(sql_type = BigInt)]
    pub(crate) number: i64,
}

/// Returns columns as a list of quoted names.
fn quoted(columns: &[String]) -> String {
    let columns = columns
        .iter()
        .map(|column| format!("\"{}\"", column.replace('"', "\"\"")));
    columns.collect::<Vec<_>>().join(", ")
}

/// Returns the statement that waits for the writers of a table and blocks others. The name must be
/// quoted.
pub(crate) fn lock(name: &str) -> String {
    format!("LOCK TABLE ONLY {name} IN SHARE MODE")
}

/// Returns the `COPY` that reads a table. The name must be quoted.
pub(crate) fn copy_out(name: &str, columns: &[String]) -> String {
    let columns = quoted(columns);
    format!("COPY (SELECT {columns} FROM ONLY {name} ORDER BY created_at, id) TO STDOUT")
}

/// Returns the `COPY` that fills a table. The name must be quoted.
pub(crate) fn copy_in(name: &str, columns: &[String]) -> String {
    format!("COPY {name} ({}) FROM STDIN", quoted(columns))
}

/// Returns the query that counts the rows of a table. The name must be quoted.
pub(crate) fn count(name: &str) -> String {
    format!("SELECT pg_catalog.count(*) AS number FROM ONLY {name}")
}

/// Returns the statement that detaches a partition. The name must be quoted.
pub(crate) fn detach(log: LogTable, name: &str) -> String {
    let statement = format!("ALTER TABLE {} DETACH PARTITION {name};", log.as_str());
    in_tries(log, &statement)
}

/// Returns the statement that drops a partition or a detached table of a log. The name must be
/// quoted.
pub(crate) fn drop(log: LogTable, name: &str) -> String {
    in_tries(log, &format!("DROP TABLE IF EXISTS {name};"))
}

/// Returns a time as a literal, doubled for a text that is executed.
fn literal(time: DateTime<Utc>) -> String {
    format!("'{}'", time.format("%Y-%m-%d %H:%M:%S%.6f+00"))
}

/// Returns the statement that creates the table of an archive, with the CHECK that saves `ATTACH` a
/// scan of it.
pub(crate) fn create(log: LogTable, archive: &LogArchiveHeader) -> String {
    let (parent, name) = (log.as_str(), &archive.name);
    let from = archive.from.map(literal);
    let from = from
        .map(|from| format!("created_at >= {from} AND "))
        .unwrap_or_default();
    let before = literal(archive.before);
    format!(
        "DO $$ DECLARE parent REGCLASS := '{parent}'::pg_catalog.regclass; BEGIN \
            CREATE TABLE {name} (LIKE {parent} INCLUDING ALL, \
                CONSTRAINT within_month CHECK ({from}created_at < {before})); \
            ALTER TABLE {name} SET (autovacuum_vacuum_insert_scale_factor = 0.05, \
                autovacuum_analyze_scale_factor = 0.05); \
            EXECUTE pg_catalog.format('ALTER TABLE {name} OWNER TO %I', \
                (SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE oid = parent)); \
            IF EXISTS (SELECT FROM pg_catalog.pg_trigger \
                WHERE tgrelid = parent AND tgname = 'trg_audit_logs_append_only') THEN \
                CREATE TRIGGER trg_audit_logs_no_truncate BEFORE TRUNCATE ON {name} \
                    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change(); \
            END IF; \
        END $$"
    )
}

/// Returns the statement that removes the references of a table that is not attached yet to rows
/// that do not exist, and returns their number.
pub(crate) fn clear_references(log: LogTable, name: &str) -> String {
    let clear = |key: &str, target: &str, notes: &str| {
        format!(
            "UPDATE {name} AS l SET {key} = NULL, {notes} = CASE \
                WHEN l.{notes} IS NULL THEN '{{}}'::jsonb \
                WHEN pg_catalog.jsonb_typeof(l.{notes}) = 'object' THEN l.{notes} \
                ELSE pg_catalog.jsonb_build_object('{notes}', l.{notes}) END \
                || pg_catalog.jsonb_build_object('dangling_{key}', l.{key}) \
            WHERE l.{key} IS NOT NULL AND NOT EXISTS (SELECT FROM {target} AS t WHERE t.id = l.{key})"
        )
    };
    // One after the other: two of one row in one statement would lose the second.
    let statements: Vec<String> = match log {
        LogTable::AuditLogs => vec![
            clear("user_id", "public.users", "metadata"),
            clear("organization_id", "public.organizations", "metadata"),
        ],
        LogTable::SystemLogs => vec![clear("user_id", "public.users", "data")],
    };
    let statements = statements.iter().map(|statement| {
        format!(
            "{statement}; GET DIAGNOSTICS cleared = ROW_COUNT; \
            PERFORM pg_catalog.set_config('wundr.cleared', \
                (pg_catalog.current_setting('wundr.cleared')::bigint + cleared)::text, true); "
        )
    });
    format!(
        "DO $$ DECLARE cleared BIGINT; BEGIN \
            PERFORM pg_catalog.set_config('wundr.cleared', '0', true); {} \
        END $$",
        statements.collect::<String>()
    )
}

/// The query for the number that [`clear_references`] has counted.
pub(crate) const CLEARED: &str =
    "SELECT pg_catalog.current_setting('wundr.cleared')::bigint AS number";

/// Returns the statement that attaches the table of an archive.
pub(crate) fn attach(log: LogTable, archive: &LogArchiveHeader) -> String {
    let (parent, name) = (log.as_str(), &archive.name);
    let from = archive.from.map_or("MINVALUE".to_owned(), literal);
    let before = literal(archive.before);
    in_tries(
        log,
        &format!(
            "PERFORM pg_catalog.pg_advisory_xact_lock( \
                pg_catalog.hashtext('audit.create_monthly_partition'), parent::oid::integer); \
            ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({before}); \
            ALTER TABLE {name} DROP CONSTRAINT within_month;"
        ),
    )
}
