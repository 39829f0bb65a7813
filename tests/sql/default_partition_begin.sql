-- log_archive_drop
-- ()
DO $$ DECLARE parent REGCLASS := 'audit.audit_logs'::pg_catalog.regclass; rest REGCLASS; other RECORD; old
    NAME; BEGIN FOR try IN 1..5 LOOP BEGIN
SET LOCAL lock_timeout = '1s';
SELECT partdefid INTO rest
FROM pg_catalog.pg_partitioned_table
WHERE partrelid = parent
AND partdefid <> 0; FOR other IN
SELECT conname
FROM pg_catalog.pg_constraint
WHERE conrelid = rest
AND (conname LIKE 'wundr\_within\_%' AND conname <> 'wundr_within_until_2024_01' OR conname LIKE
    'wundr\_without\_%') LOOP EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', rest, other.conname);
    END LOOP; IF rest IS NOT NULL
AND NOT EXISTS (
  SELECT
  FROM pg_catalog.pg_constraint
  WHERE conrelid = rest
  AND conname = 'wundr_within_until_2024_01'
) THEN EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT wundr_within_until_2024_01 CHECK (created_at < ''2024-02-01 00:00:00+00'') NOT VALID',
    rest); END IF; RETURN; EXCEPTION WHEN lock_not_available OR deadlock_detected THEN IF try = 5 THEN RAISE;
    END IF; PERFORM pg_catalog.pg_sleep(0.1 * try); END; END LOOP; END $$
