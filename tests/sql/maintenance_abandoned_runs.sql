-- maintenance_abandoned_runs
-- (int8)
SELECT pg_catalog.count(*) AS number
FROM (
  SELECT
  FROM analysis.analysis_leases AS l
  JOIN analysis.analyses AS a ON a.id = l.analysis_id
  WHERE l.expires_at <= pg_catalog.statement_timestamp()
  AND a.status = 'running'
  LIMIT $1
) AS abandoned
