-- log_archive_drop
-- ()
DO $$ DECLARE parent REGCLASS := 'audit.audit_logs'::pg_catalog.regclass; rest REGCLASS; other RECORD; old
    NAME; BEGIN FOR try IN 1..5 LOOP BEGIN
SET LOCAL lock_timeout = '1s';
SELECT partdefid INTO rest
FROM pg_catalog.pg_partitioned_table
WHERE partrelid = parent
AND partdefid <> 0; PERFORM pg_catalog.pg_advisory_xact_lock( pg_catalog.hashtext('audit.create_monthly_partition'),
    parent::oid::integer); IF NOT EXISTS (
  SELECT
  FROM pg_catalog.pg_constraint
  WHERE conrelid = rest
  AND conname = 'wundr_within_until_2024_01'
  AND convalidated
) THEN RAISE EXCEPTION 'another session has changed the default partition of audit.audit_logs' USING ERRCODE =
    'object_not_in_prerequisite_state'; END IF; FOR other IN
SELECT DISTINCT confrelid::pg_catalog.regclass AS name
FROM pg_catalog.pg_constraint
WHERE conrelid = parent
AND contype = 'f' LOOP EXECUTE pg_catalog.format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', other.name); END
    LOOP; LOCK TABLE ONLY audit.audit_logs IN ACCESS EXCLUSIVE MODE; EXECUTE pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE',
    rest); EXECUTE pg_catalog.format('ALTER TABLE audit.audit_logs DETACH PARTITION %s', rest);
SELECT relname INTO old
FROM pg_catalog.pg_class
WHERE oid = rest; FOR other IN
SELECT i.indexrelid::pg_catalog.regclass AS name, pg_catalog.left('audit_logs_until_2024_01' || pg_catalog.substr(c.relname,
    pg_catalog.length(old) + 1), 63) AS renamed
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = rest
AND pg_catalog.starts_with(c.relname::text, old::text) LOOP EXECUTE pg_catalog.format('ALTER INDEX %s RENAME TO %I',
    other.name, other.renamed); END LOOP; EXECUTE pg_catalog.format('ALTER TABLE %s RENAME TO audit_logs_until_2024_01',
    rest); EXECUTE pg_catalog.format('CREATE TABLE audit.%I (LIKE audit.audit_logs INCLUDING ALL)', old);
    EXECUTE pg_catalog.format('ALTER TABLE audit.%I SET (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)',
    old); EXECUTE pg_catalog.format('ALTER TABLE audit.%I OWNER TO %I', old, (
  SELECT pg_catalog.pg_get_userbyid(relowner)
  FROM pg_catalog.pg_class
  WHERE oid = parent
)); IF EXISTS (
  SELECT
  FROM pg_catalog.pg_trigger
  WHERE tgrelid = parent
  AND tgname = 'trg_audit_logs_append_only'
) THEN EXECUTE pg_catalog.format('CREATE TRIGGER trg_audit_logs_no_truncate BEFORE TRUNCATE ON audit.%I FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()',
    old); END IF; EXECUTE pg_catalog.format('ALTER TABLE audit.audit_logs ATTACH PARTITION %s FOR VALUES FROM (MINVALUE) TO (''2024-02-01 00:00:00+00'')',
    rest); EXECUTE pg_catalog.format('ALTER TABLE audit.audit_logs ATTACH PARTITION audit.%I DEFAULT', old);
    EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT wundr_within_until_2024_01', rest); RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN IF try = 5 THEN RAISE; END IF; PERFORM
    pg_catalog.pg_sleep(0.1 * try); END; END LOOP; END $$
