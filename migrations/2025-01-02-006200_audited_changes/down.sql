SET LOCAL lock_timeout = '5s';

-- The tables that are watched depend on the function by their triggers alone.
DROP FUNCTION audit.record_change() CASCADE;
DO $$
DECLARE
  of_updates REGPROCEDURE;
BEGIN
  FOR of_updates IN
    SELECT p.oid FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'audit' AND p.proname LIKE 'record\_update\_of\_%'
  LOOP
    EXECUTE pg_catalog.format('DROP FUNCTION %s CASCADE', of_updates);
  END LOOP;
END
$$;
DROP FUNCTION audit.new_entry_id();
