//! The statements that empty the default partition of a log.
//!
//! A large default partition is not emptied row by row. It becomes the partition of the range that
//! has its rows, and an empty table takes its place. `ATTACH` scans a table that it attaches, under
//! a lock that blocks all users of the log, unless a validated CHECK proves the bounds. So the
//! CHECK is added first and validated while others read and write. Each of the three statements is
//! a transaction of its own. After each of them the log accepts the rows of all months that have a
//! partition and those of the range, and the next call continues.
//!
//! While the CHECK exists, rows of other months without a partition are refused: the caller has
//! created those.

use chrono::NaiveDate;
use diesel::QueryableByName;
use diesel::sql_types::{Date, Nullable};

use crate::models::admin::FreeRange;
use crate::models::partitions::LogTable;

/// The number of rows of a range from which on the default partition may become its partition.
pub(crate) const WORTH_ADOPTING: i64 = 10_000;

/// Returns a time as a literal.
fn begin_of(day: NaiveDate) -> String {
    format!("'{day} 00:00:00+00'")
}

/// Returns the query that counts the rows of a default partition within a range, up to
/// [`WORTH_ADOPTING`]. The name must be quoted.
pub(crate) fn count_within(name: &str, range: &FreeRange) -> String {
    let from = range.from.map_or("'-infinity'".to_owned(), begin_of);
    let before = begin_of(range.before);
    format!(
        "SELECT pg_catalog.count(*) AS number FROM ( \
            SELECT FROM ONLY {name} WHERE created_at >= {from} AND created_at < {before} \
            ORDER BY created_at LIMIT {WORTH_ADOPTING}) AS counted"
    )
}

/// Returns the query for the month of the oldest row of a default partition that is outside a
/// range, and whether there is any row outside of it. The name must be quoted.
pub(crate) fn outside(name: &str, range: Option<&FreeRange>) -> String {
    // An empty range, if there is none.
    let (from, before) = match range {
        Some(range) => (
            range.from.map_or("'-infinity'".to_owned(), begin_of),
            begin_of(range.before),
        ),
        None => ("'infinity'".to_owned(), "'infinity'".to_owned()),
    };
    format!(
        "WITH ends AS ( \
            (SELECT created_at FROM ONLY {name} \
                WHERE created_at >= '0001-01-01 00:00:00+00' AND created_at < '9999-12-01 00:00:00+00' \
                    AND created_at < {from} ORDER BY created_at LIMIT 1) \
            UNION ALL \
            (SELECT created_at FROM ONLY {name} \
                WHERE created_at >= '0001-01-01 00:00:00+00' AND created_at < '9999-12-01 00:00:00+00' \
                    AND created_at >= {before} ORDER BY created_at LIMIT 1)) \
        SELECT pg_catalog.min(pg_catalog.timezone('UTC', created_at)::date) AS month, \
            EXISTS (SELECT FROM ONLY {name} WHERE created_at < {from}) \
                OR EXISTS (SELECT FROM ONLY {name} WHERE created_at >= {before}) AS any \
        FROM ends"
    )
}

/// The row of [`outside`].
#[derive(QueryableByName)]
pub(crate) struct Outside {
    #[diesel(sql_type = Nullable<Date>)]
    pub(crate) month: Option<NaiveDate>,
    #[diesel(sql_type = diesel::sql_types::Bool)]
    pub(crate) any: bool,
}

/// Returns a block that runs statements with the lock timeout of one second, at most five times
/// until they get their locks. Between two tries no lock is held.
///
/// The variables are the log `parent`, its default partition `rest`, and others of the statements.
pub(crate) fn in_tries(log: LogTable, statements: &str) -> String {
    format!(
        "DO $$ DECLARE parent REGCLASS := '{log}'::pg_catalog.regclass; rest REGCLASS; \
            other RECORD; old NAME; BEGIN \
            FOR try IN 1..5 LOOP BEGIN \
                SET LOCAL lock_timeout = '1s'; \
                SELECT partdefid INTO rest FROM pg_catalog.pg_partitioned_table \
                    WHERE partrelid = parent AND partdefid <> 0; \
                {statements} \
                RETURN; \
            EXCEPTION WHEN lock_not_available OR deadlock_detected THEN \
                IF try = 5 THEN RAISE; END IF; \
                PERFORM pg_catalog.pg_sleep(0.1 * try); \
            END; END LOOP; \
        END $$",
        log = log.as_str()
    )
}

/// The statements that turn the default partition into the partition of a range.
pub(crate) struct Adoption {
    log: LogTable,
    range: FreeRange,
}

impl Adoption {
    pub(crate) fn new(log: LogTable, range: FreeRange) -> Self {
        Self { log, range }
    }

    /// Returns the name of the new partition, with its schema.
    pub(crate) fn name(&self) -> String {
        format!("{}{}", self.log.as_str(), self.range.suffix())
    }

    /// Returns the name of the CHECK.
    fn check(&self) -> String {
        format!("wundr_within{}", self.range.suffix())
    }

    /// Returns the statement that adds the CHECK, NOT VALID, and drops those that interrupted calls
    /// left behind.
    pub(crate) fn begin(&self) -> String {
        let check = self.check();
        let from = self.range.from.map(begin_of);
        let from = from
            .map(|from| format!("created_at >= {from} AND "))
            .unwrap_or_default();
        let before = begin_of(self.range.before);
        // Quotes are doubled within the text that is executed.
        let bounds = format!("{from}created_at < {before}").replace('\'', "''");
        in_tries(
            self.log,
            &format!(
                "FOR other IN SELECT conname FROM pg_catalog.pg_constraint \
                    WHERE conrelid = rest AND (conname LIKE 'wundr\\_within\\_%' AND conname <> '{check}' \
                        OR conname LIKE 'wundr\\_without\\_%') LOOP \
                    EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', rest, other.conname); \
                END LOOP; \
                IF rest IS NOT NULL AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint \
                    WHERE conrelid = rest AND conname = '{check}') THEN \
                    EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT {check} CHECK ({bounds}) NOT VALID', rest); \
                END IF;"
            ),
        )
    }

    /// Returns the statement that validates the CHECK by one scan, while others read and write.
    pub(crate) fn validate(&self) -> String {
        let check = self.check();
        in_tries(
            self.log,
            &format!(
                "IF EXISTS (SELECT FROM pg_catalog.pg_constraint \
                    WHERE conrelid = rest AND conname = '{check}' AND NOT convalidated) THEN \
                    EXECUTE pg_catalog.format('ALTER TABLE %s VALIDATE CONSTRAINT {check}', rest); \
                END IF;"
            ),
        )
    }

    /// Returns the statement that puts an empty default partition in the place of the full one.
    ///
    /// The tables that the log refers to are locked before the log: a writer that has changed a
    /// user and is about to log it goes first.
    pub(crate) fn swap(&self) -> String {
        let (check, log) = (self.check(), self.log.as_str());
        let name = self.name();
        let name = name.split_once('.').map_or(name.as_str(), |(_, name)| name);
        let from = self.range.from.map_or("MINVALUE".to_owned(), begin_of);
        let bounds =
            format!("FROM ({from}) TO ({})", begin_of(self.range.before)).replace('\'', "''");
        in_tries(
            self.log,
            &format!(
                "PERFORM pg_catalog.pg_advisory_xact_lock( \
                    pg_catalog.hashtext('audit.create_monthly_partition'), parent::oid::integer); \
                IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint \
                    WHERE conrelid = rest AND conname = '{check}' AND convalidated) THEN \
                    RAISE EXCEPTION 'another session has changed the default partition of {log}' \
                        USING ERRCODE = 'object_not_in_prerequisite_state'; \
                END IF; \
                FOR other IN SELECT DISTINCT confrelid::pg_catalog.regclass AS name \
                    FROM pg_catalog.pg_constraint WHERE conrelid = parent AND contype = 'f' LOOP \
                    EXECUTE pg_catalog.format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', other.name); \
                END LOOP; \
                LOCK TABLE ONLY {log} IN ACCESS EXCLUSIVE MODE; \
                EXECUTE pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', rest); \
                EXECUTE pg_catalog.format('ALTER TABLE {log} DETACH PARTITION %s', rest); \
                SELECT relname INTO old FROM pg_catalog.pg_class WHERE oid = rest; \
                FOR other IN SELECT i.indexrelid::pg_catalog.regclass AS name, \
                    pg_catalog.left('{name}' || pg_catalog.substr(c.relname, pg_catalog.length(old) + 1), 63) AS renamed \
                    FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid \
                    WHERE i.indrelid = rest AND pg_catalog.starts_with(c.relname::text, old::text) \
                LOOP EXECUTE pg_catalog.format('ALTER INDEX %s RENAME TO %I', other.name, other.renamed); END LOOP; \
                EXECUTE pg_catalog.format('ALTER TABLE %s RENAME TO {name}', rest); \
                EXECUTE pg_catalog.format('CREATE TABLE audit.%I (LIKE {log} INCLUDING ALL)', old); \
                EXECUTE pg_catalog.format('ALTER TABLE audit.%I SET (autovacuum_vacuum_insert_scale_factor = 0.05, \
                    autovacuum_analyze_scale_factor = 0.05)', old); \
                EXECUTE pg_catalog.format('ALTER TABLE audit.%I OWNER TO %I', old, \
                    (SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE oid = parent)); \
                IF EXISTS (SELECT FROM pg_catalog.pg_trigger \
                    WHERE tgrelid = parent AND tgname = 'trg_audit_logs_append_only') THEN \
                    EXECUTE pg_catalog.format('CREATE TRIGGER trg_audit_logs_no_truncate BEFORE TRUNCATE ON audit.%I \
                        FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', old); \
                END IF; \
                EXECUTE pg_catalog.format('ALTER TABLE {log} ATTACH PARTITION %s FOR VALUES {bounds}', rest); \
                EXECUTE pg_catalog.format('ALTER TABLE {log} ATTACH PARTITION audit.%I DEFAULT', old); \
                EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT {check}', rest);"
            ),
        )
    }

    /// Returns the statement that drops the CHECK, if the default partition has it.
    pub(crate) fn end(&self) -> String {
        let check = self.check();
        in_tries(
            self.log,
            &format!(
                "IF EXISTS (SELECT FROM pg_catalog.pg_constraint \
                    WHERE conrelid = rest AND conname = '{check}') THEN \
                    EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS {check}', rest); \
                END IF;"
            ),
        )
    }
}
