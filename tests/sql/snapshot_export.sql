-- snapshot_export
-- ()
SELECT pg_catalog.pg_export_snapshot()::text AS name
