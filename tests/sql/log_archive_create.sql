-- log_archive_drop
-- ()
DO $$ DECLARE parent REGCLASS := 'audit.audit_logs'::pg_catalog.regclass; BEGIN CREATE TABLE audit.audit_logs_2024_01
    (LIKE audit.audit_logs INCLUDING ALL, CONSTRAINT within_month CHECK (created_at >=
    '2024-01-01 00:00:00.000000+00' AND created_at < '2024-02-01 00:00:00.000000+00')); ALTER TABLE audit.audit_logs_2024_01
SET (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05); EXECUTE pg_catalog.format('ALTER TABLE audit.audit_logs_2024_01 OWNER TO %I',
    (
  SELECT pg_catalog.pg_get_userbyid(relowner)
  FROM pg_catalog.pg_class
  WHERE oid = parent
)); IF EXISTS (
  SELECT
  FROM pg_catalog.pg_trigger
  WHERE tgrelid = parent
  AND tgname = 'trg_audit_logs_append_only'
) THEN CREATE TRIGGER trg_audit_logs_no_truncate BEFORE TRUNCATE ON audit.audit_logs_2024_01 FOR EACH
    STATEMENT EXECUTE FUNCTION audit.refuse_change(); END IF; END $$
