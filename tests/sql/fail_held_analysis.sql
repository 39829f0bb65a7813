-- analyses.fail_claimed
-- (uuid, int8, text)
WITH held AS MATERIALIZED (
  SELECT id
  FROM analysis.analyses
  WHERE id = $1
  AND status = 'running'
  FOR NO KEY UPDATE
), lease AS MATERIALIZED (
  SELECT l.analysis_id
  FROM analysis.analysis_leases AS l
  JOIN held ON held.id = l.analysis_id
  WHERE l.fence = $2
  FOR UPDATE OF l
)
UPDATE analysis.analyses
SET status = 'failed', error_message = $3, completed_at = CASE WHEN started_at IS NOT NULL THEN GREATEST(pg_catalog.now(),
    started_at) END, duration_seconds = CASE WHEN started_at IS NOT NULL THEN LEAST(GREATEST(EXTRACT(EPOCH
    FROM GREATEST(pg_catalog.now(), started_at) - started_at), 1), 2147483647)::integer END
FROM lease
WHERE analyses.id = lease.analysis_id
RETURNING "analysis"."analyses"."id", "analysis"."analyses"."project_id", "analysis"."analyses"."type",
    "analysis"."analyses"."status", "analysis"."analyses"."progress", "analysis"."analyses"."configuration",
    "analysis"."analyses"."results", "analysis"."analyses"."summary", "analysis"."analyses"."error_message",
    "analysis"."analyses"."started_at", "analysis"."analyses"."completed_at", "analysis"."analyses"."duration_seconds",
    "analysis"."analyses"."created_by", "analysis"."analyses"."created_at"
