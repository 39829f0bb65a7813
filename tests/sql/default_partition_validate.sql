-- log_archive_drop
-- ()
DO $$ DECLARE parent REGCLASS := 'audit.audit_logs'::pg_catalog.regclass; rest REGCLASS; other RECORD; old
    NAME; BEGIN FOR try IN 1..5 LOOP BEGIN
SET LOCAL lock_timeout = '1s';
SELECT partdefid INTO rest
FROM pg_catalog.pg_partitioned_table
WHERE partrelid = parent
AND partdefid <> 0; IF EXISTS (
  SELECT
  FROM pg_catalog.pg_constraint
  WHERE conrelid = rest
  AND conname = 'wundr_within_until_2024_01'
  AND NOT convalidated
) THEN EXECUTE pg_catalog.format('ALTER TABLE %s VALIDATE CONSTRAINT wundr_within_until_2024_01', rest); END
    IF; RETURN; EXCEPTION WHEN lock_not_available OR deadlock_detected THEN IF try = 5 THEN RAISE; END IF;
    PERFORM pg_catalog.pg_sleep(0.1 * try); END; END LOOP; END $$
