-- Rows that break the check are no reason to refuse the migration, and which of their two times is wrong
-- cannot be known here: where there are any, the check stays NOT VALID and goes on binding new rows.
SET LOCAL lock_timeout = '5s';

DO $$
DECLARE
  checked TEXT;
BEGIN
  FOREACH checked IN ARRAY ARRAY['analysis.analyses', 'setup.setup_sessions', 'setup.setup_steps'] LOOP
    BEGIN
      EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT check_completed_after_started', checked);
    EXCEPTION WHEN check_violation THEN
      RAISE NOTICE '% has rows with completed_at before started_at', checked
        USING HINT = format(
          'Correct them, then ALTER TABLE %s VALIDATE CONSTRAINT check_completed_after_started.', checked);
    END;
  END LOOP;
END
$$;
