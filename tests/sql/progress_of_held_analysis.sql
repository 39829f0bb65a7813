-- progress_of_held_analysis
-- (uuid, int8, int4)
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
SET status = 'running', progress = GREATEST(progress, $3)
FROM lease
WHERE analyses.id = lease.analysis_id
RETURNING "analysis"."analyses"."id", "analysis"."analyses"."project_id", "analysis"."analyses"."type",
    "analysis"."analyses"."status", "analysis"."analyses"."progress", "analysis"."analyses"."configuration",
    "analysis"."analyses"."results", "analysis"."analyses"."summary", "analysis"."analyses"."error_message",
    "analysis"."analyses"."started_at", "analysis"."analyses"."completed_at", "analysis"."analyses"."duration_seconds",
    "analysis"."analyses"."created_by", "analysis"."analyses"."created_at"
