-- cache_database_identity
-- ()
SELECT oid::text || ':' || datname AS database, pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()),
    8) AS timeline, pg_catalog.clock_timestamp() AS now, pg_catalog.has_function_privilege('pg_catalog.pg_control_system()',
    'EXECUTE') AS tells_cluster
FROM pg_catalog.pg_database
WHERE datname = pg_catalog.current_database()
