-- For clients that write bare table names. Nothing of ours depends on it. The role may not be the database's
-- owner, which is no reason to stop.
DO $$
BEGIN
  EXECUTE format(
    'ALTER DATABASE %I SET search_path = public, analysis, setup, audit, cache', current_database());
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'search_path of database % is left as it is: only its owner can set it', current_database();
END
$$;
