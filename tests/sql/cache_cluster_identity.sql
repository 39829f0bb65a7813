-- cache_cluster_identity
-- ()
SELECT system_identifier::text AS id
FROM pg_catalog.pg_control_system()
