//! The statements about sessions and locks.

/// The text of a statement that the server hides from the role.
macro_rules! visible {
    ($query:literal) => {
        concat!("NULLIF(", $query, ", '<insufficient privilege>')")
    };
}

/// The query for the sessions of the database, and for what keeps VACUUM from removing rows.
///
/// Of a hidden session, `backend_type` is NULL. A worker of the server has no role.
pub(crate) const ACTIVITY: &str = concat!(
    "WITH of_database AS MATERIALIZED (\
         SELECT * FROM pg_catalog.pg_stat_activity \
         WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid() \
             AND (backend_type = 'client backend' OR (backend_type IS NULL AND usesysid IS NOT NULL))), \
     horizons AS (\
         SELECT 'session' AS kind, pid::pg_catalog.text AS name, pg_catalog.age(backend_xmin) AS age \
         FROM pg_catalog.pg_stat_activity \
         WHERE backend_xmin IS NOT NULL AND pid <> pg_catalog.pg_backend_pid() \
         UNION ALL SELECT 'prepared transaction', gid, pg_catalog.age(transaction) FROM pg_catalog.pg_prepared_xacts \
         UNION ALL SELECT 'replication slot', slot_name::pg_catalog.text, \
             GREATEST(pg_catalog.age(xmin), pg_catalog.age(catalog_xmin)) \
         FROM pg_catalog.pg_replication_slots WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL \
         ORDER BY 3 DESC LIMIT 10) \
     SELECT pg_catalog.jsonb_build_object(\
         'sessions', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(\
             'pid', pid, 'role', usename, 'application', application_name, 'client', pg_catalog.host(client_addr), \
             'state', state, 'wait', wait_event_type || '/' || wait_event, \
             'transaction_seconds', EXTRACT(epoch FROM pg_catalog.clock_timestamp() - xact_start), \
             'state_seconds', EXTRACT(epoch FROM pg_catalog.clock_timestamp() - state_change), \
             'xmin_age', GREATEST(pg_catalog.age(backend_xmin), 0), 'query', ",
    visible!("query"),
    ") ORDER BY xact_start, pid) FROM of_database), '[]'), \
         'connections', (SELECT pg_catalog.sum(numbackends) FROM pg_catalog.pg_stat_database), \
         'max_connections', pg_catalog.current_setting('max_connections')::pg_catalog.int4 \
             - pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int4 \
             - COALESCE(pg_catalog.current_setting('reserved_connections', true)::pg_catalog.int4, 0), \
         'horizons', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(\
             'kind', kind, 'name', name, 'age', GREATEST(age, 0)) ORDER BY age DESC) FROM horizons), '[]'), \
         'hidden', (SELECT pg_catalog.count(*) FROM of_database WHERE query = '<insufficient privilege>')\
     )::pg_catalog.text AS document"
);

/// The query for the sessions that wait for a lock in the database, and for those that block them.
///
/// `pg_blocking_pids` locks the whole lock table, so it is called for waiting sessions alone.
pub(crate) const LOCKS: &str = concat!(
    "WITH waiting AS MATERIALIZED (\
         SELECT DISTINCT ON (l.pid) l.pid, l.mode, l.waitstart, \
             CASE WHEN c.oid IS NULL THEN l.locktype ELSE pg_catalog.format('%I.%I', n.nspname, c.relname) END AS object, \
             pg_catalog.pg_blocking_pids(l.pid) AS blocked_by \
         FROM pg_catalog.pg_locks AS l \
         JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid AND a.datname = pg_catalog.current_database() \
         LEFT JOIN pg_catalog.pg_database AS d ON d.oid = l.database AND d.datname = pg_catalog.current_database() \
         LEFT JOIN pg_catalog.pg_class AS c ON c.oid = l.relation AND d.oid IS NOT NULL \
         LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE NOT l.granted ORDER BY l.pid), \
     blocking AS (\
         SELECT pid FROM waiting UNION SELECT pg_catalog.unnest(blocked_by) FROM waiting), \
     concerned AS MATERIALIZED (\
         SELECT b.pid AS process, a.*, w.mode, w.waitstart, w.object, w.blocked_by FROM blocking AS b \
         LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid LEFT JOIN waiting AS w ON w.pid = b.pid) \
     SELECT pg_catalog.jsonb_build_object(\
         'sessions', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(\
             'pid', process, 'blocked_by', COALESCE((SELECT pg_catalog.jsonb_agg(DISTINCT blocker) \
                 FROM pg_catalog.unnest(blocked_by) AS blocker), '[]'), \
             'waits_for', mode || ' on ' || object, \
             'wait_seconds', EXTRACT(epoch FROM pg_catalog.clock_timestamp() - waitstart), \
             'role', usename, 'application', application_name, \
             'state', CASE process WHEN 0 THEN 'prepared transaction' ELSE state END, \
             'transaction_seconds', EXTRACT(epoch FROM pg_catalog.clock_timestamp() - xact_start), 'query', ",
    visible!("query"),
    ")) FROM concerned), '[]'), \
         'hidden', (SELECT pg_catalog.count(*) FROM concerned WHERE query = '<insufficient privilege>')\
     )::pg_catalog.text AS document"
);
