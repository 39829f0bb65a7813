-- cache_own_transaction
-- ()
SELECT pg_catalog.pg_current_xact_id_if_assigned()::text AS id, CASE WHEN pg_catalog.pg_is_in_recovery() THEN
    NULL ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) END AS timeline
