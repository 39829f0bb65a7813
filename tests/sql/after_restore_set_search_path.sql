-- log_archive_drop
-- ()
DO $$ BEGIN IF NOT EXISTS (
  SELECT
  FROM pg_catalog.pg_db_role_setting AS s, pg_catalog.unnest(s.setconfig) AS one
  WHERE s.setrole = 0
  AND one LIKE 'search\_path=%'
  AND s.setdatabase = (
    SELECT oid
    FROM pg_catalog.pg_database
    WHERE datname = pg_catalog.current_database()
  )
) THEN EXECUTE pg_catalog.format('ALTER DATABASE %I SET search_path = public, analysis, setup, audit, cache',
    pg_catalog.current_database()); END IF; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$
