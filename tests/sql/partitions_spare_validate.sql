-- log_archive_drop
-- ()
DO $$ DECLARE rest REGCLASS; found BOOLEAN; other NAME; BEGIN
SET LOCAL lock_timeout = '2s';
SELECT partdefid INTO rest
FROM pg_catalog.pg_partitioned_table
WHERE partrelid = 'audit.audit_logs'::REGCLASS
AND partdefid <> 0; IF rest IS NULL THEN RETURN; END IF; IF EXISTS (
  SELECT
  FROM pg_catalog.pg_constraint
  WHERE conrelid = rest
  AND conname = 'wundr_without_2024_01_to_2024_04'
  AND NOT convalidated
) THEN EXECUTE pg_catalog.format('ALTER TABLE %s VALIDATE CONSTRAINT wundr_without_2024_01_to_2024_04', rest);
    END IF; EXCEPTION WHEN check_violation OR undefined_object THEN NULL; END $$
