-- For clients that write unqualified table names. This crate does not depend on it. If the role is
-- not the database's owner, the setting is skipped.
DO $$
BEGIN
  EXECUTE format(
    'ALTER DATABASE %I SET search_path = public, analysis, setup, audit, cache', current_database());
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'search_path of database % is left as it is: only its owner can set it', current_database();
END
$$;
