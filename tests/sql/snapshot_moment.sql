-- snapshot_moment
-- ()
SELECT pg_catalog.now() AS taken_at, pg_catalog.current_database()::text AS database, pg_catalog.current_setting('server_version_num')::integer
    AS server_version
