-- snapshot_migrations
-- ()
SELECT version::text AS name
FROM public.__diesel_schema_migrations
