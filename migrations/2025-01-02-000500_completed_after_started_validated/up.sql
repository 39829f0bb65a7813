-- Rows that violate the check do not fail the migration, which cannot determine the wrong one of
-- their two times. If there are any, the check remains NOT VALID and applies to new rows only.
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
