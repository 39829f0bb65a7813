-- organization_insert_entries
-- ()
INSERT INTO audit.audit_logs (id, created_at)
SELECT id, created_at
FROM pg_temp.wundr_import AS i
WHERE NOT EXISTS (
  SELECT
  FROM audit.audit_log_seals AS s
  WHERE s.month = pg_catalog.date_trunc('month', i.created_at AT TIME ZONE 'UTC')::date
)
ON CONFLICT DO NOTHING
