//! The statements that care for a database that was restored.

/// The statement that returns the runs to the queue whose workers the backup names. A trigger
/// deletes their leases.
pub(crate) const REQUEUE: &str = "\
    UPDATE analysis.analyses SET status = 'pending', progress = 0, started_at = NULL, \
        completed_at = NULL, duration_seconds = NULL \
    WHERE status = 'running' AND id IN (SELECT analysis_id FROM analysis.analysis_leases)";

/// The statement that deletes the other leases.
pub(crate) const END_LEASES: &str = "DELETE FROM analysis.analysis_leases";

/// The statement that continues the fences far behind those that were given out after the backup.
///
/// A worker that outlived the restore may hold one of these. At one claim a second, the gap is that
/// of twelve days.
pub(crate) const MOVE_FENCES: &str = "\
    SELECT pg_catalog.setval(fences, COALESCE(pg_catalog.pg_sequence_last_value(fences), 0) + 1048576) AS number \
    FROM (SELECT pg_catalog.pg_get_serial_sequence('analysis.analysis_leases', 'fence')::pg_catalog.regclass) \
        AS sequence (fences)";

/// The functions that migrations keep from other roles: PostgreSQL lets every role execute a new
/// function, and a dump without privileges creates new ones.
pub(crate) const KEPT_FUNCTIONS: &[&str] = &[
    "analysis.end_lease()",
    "analysis.notify_analysis()",
    "analysis.raise_fence()",
    "analysis.refuse_pin_of_removed()",
    "audit.new_entry_id()",
    "audit.record_change()",
    "audit.refuse_change()",
    "public.end_user_sessions()",
    "setup.refuse_unsealed_value()",
];

/// The query for those among `$1`, and among the functions of watched tables, that every role can
/// execute. An older database lacks some.
pub(crate) const OPEN_FUNCTIONS: &str = "\
    SELECT kept.name FROM (SELECT pg_catalog.unnest($1) \
        UNION ALL SELECT pg_catalog.format('audit.%I()', p.proname) FROM pg_catalog.pg_proc AS p \
        JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace \
        WHERE n.nspname = 'audit' AND p.proname LIKE 'record\\_update\\_of\\_%') AS kept (name) \
    WHERE pg_catalog.has_function_privilege('public', pg_catalog.to_regprocedure(kept.name), 'EXECUTE') ORDER BY kept.name";

/// The statement that sets the `search_path` of the database if there is none and the role may.
pub(crate) const SET_SEARCH_PATH: &str = "\
    DO $$ BEGIN \
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting AS s, pg_catalog.unnest(s.setconfig) AS one \
            WHERE s.setrole = 0 AND one LIKE 'search\\_path=%' AND s.setdatabase = (SELECT oid \
                FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())) THEN \
            EXECUTE pg_catalog.format('ALTER DATABASE %I SET search_path = public, analysis, setup, audit, cache', \
                pg_catalog.current_database()); \
        END IF; \
    EXCEPTION WHEN insufficient_privilege THEN NULL; END $$";

/// The query for the `search_path` of the database.
pub(crate) const SEARCH_PATH: &str = "\
    SELECT pg_catalog.substr(one, pg_catalog.strpos(one, '=') + 1) AS name \
    FROM pg_catalog.pg_db_role_setting AS s, pg_catalog.unnest(s.setconfig) AS one \
    WHERE s.setrole = 0 AND one LIKE 'search\\_path=%' \
        AND s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";

/// The query for the tables that have rows and no statistics. A table that ANALYZE has found empty
/// has none either.
pub(crate) const UNANALYZED: &str = "\
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name \
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND n.nspname IN ('public', 'analysis', 'setup', 'audit') \
        AND pg_catalog.pg_relation_size(c.oid) > 0 AND c.reltuples <> 0 \
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_stats AS s \
            WHERE s.schemaname = n.nspname AND s.tablename = c.relname) \
    ORDER BY name";
