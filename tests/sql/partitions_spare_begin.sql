-- log_archive_drop
-- ()
DO $$ DECLARE rest REGCLASS; found BOOLEAN; other NAME; BEGIN
SET LOCAL lock_timeout = '2s';
SELECT partdefid INTO rest
FROM pg_catalog.pg_partitioned_table
WHERE partrelid = 'audit.audit_logs'::REGCLASS
AND partdefid <> 0; IF rest IS NULL THEN RETURN; END IF; FOR other IN
SELECT conname
FROM pg_catalog.pg_constraint
WHERE conrelid = rest
AND conname LIKE 'wundr\_without\_%'
AND conname <> 'wundr_without_2024_01_to_2024_04' LOOP EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I',
    rest, other); END LOOP; IF pg_catalog.pg_relation_size(rest) < 4194304 THEN RETURN; END IF; EXECUTE
    pg_catalog.format('SELECT NOT false AND EXISTS (SELECT FROM %s WHERE created_at >= %L AND created_at < %L)',
    rest, '2024-01-01 00:00:00+00', '2024-04-01 00:00:00+00') INTO found; IF found OR EXISTS (
  SELECT
  FROM pg_catalog.pg_constraint
  WHERE conrelid = rest
  AND conname = 'wundr_without_2024_01_to_2024_04'
) THEN RETURN; END IF; EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT wundr_without_2024_01_to_2024_04 CHECK (created_at IS NULL OR created_at < %L OR created_at >= %L) NOT VALID',
    rest, '2024-01-01 00:00:00+00', '2024-04-01 00:00:00+00'); END $$
