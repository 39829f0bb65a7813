-- default_partition_rows_within
-- ()
SELECT pg_catalog.count(*) AS number
FROM (
  SELECT
  FROM ONLY audit.audit_logs_default
  WHERE created_at >= '-infinity'
  AND created_at < '2024-02-01 00:00:00+00'
  ORDER BY created_at
  LIMIT 10000
) AS counted
