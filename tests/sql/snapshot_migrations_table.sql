-- snapshot_migrations_table
-- ()
SELECT relname::text AS name
FROM pg_catalog.pg_class
WHERE oid = pg_catalog.to_regclass('public.__diesel_schema_migrations')
