-- default_partition_outside
-- ()
WITH ends AS ( (
  SELECT created_at
  FROM ONLY audit.audit_logs_default
  WHERE created_at >= '0001-01-01 00:00:00+00'
  AND created_at < '9999-12-01 00:00:00+00'
  AND created_at < '-infinity'
  ORDER BY created_at
  LIMIT 1
) UNION ALL (
  SELECT created_at
  FROM ONLY audit.audit_logs_default
  WHERE created_at >= '0001-01-01 00:00:00+00'
  AND created_at < '9999-12-01 00:00:00+00'
  AND created_at >= '2024-02-01 00:00:00+00'
  ORDER BY created_at
  LIMIT 1
))
SELECT pg_catalog.min(pg_catalog.timezone('UTC', created_at)::date) AS month, EXISTS (
  SELECT
  FROM ONLY audit.audit_logs_default
  WHERE created_at < '-infinity'
) OR EXISTS (
  SELECT
  FROM ONLY audit.audit_logs_default
  WHERE created_at >= '2024-02-01 00:00:00+00'
) AS any
FROM ends
