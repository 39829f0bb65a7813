-- analyses.requeue_abandoned
-- (int4, int4)
WITH expired AS MATERIALIZED (
  SELECT a.id
  FROM analysis.analysis_leases AS l
  JOIN analysis.analyses AS a ON a.id = l.analysis_id
  WHERE l.expires_at <= pg_catalog.statement_timestamp()
  AND a.status = 'running'
  AND a.project_id IS NOT NULL
  AND a.type IS NOT NULL
  AND a.progress IS NOT NULL
  AND a.configuration IS NOT NULL
  AND a.created_by IS NOT NULL
  AND a.created_at IS NOT NULL
  FOR NO KEY UPDATE OF a SKIP LOCKED
), lost AS MATERIALIZED (
  SELECT l.analysis_id, l.worker, l.fence, l.expires_at
  FROM analysis.analysis_leases AS l
  JOIN expired ON expired.id = l.analysis_id
  WHERE l.expires_at <= pg_catalog.statement_timestamp()
  FOR UPDATE OF l
), counted AS (
  INSERT INTO analysis.analysis_abandonments AS counted (analysis_id, times)
  SELECT analysis_id, 1
  FROM lost
  ON CONFLICT (analysis_id)
  DO UPDATE
  SET times = counted.times + 1
  RETURNING analysis_id, times
), requeued AS (
  UPDATE analysis.analyses
  SET status = 'pending', progress = 0, started_at = NULL, completed_at = NULL, duration_seconds = NULL
  FROM lost
  JOIN counted USING (analysis_id)
  WHERE analyses.id = lost.analysis_id
  AND times < $1
  RETURNING "analysis"."analyses"."id", "analysis"."analyses"."project_id", "analysis"."analyses"."type",
      "analysis"."analyses"."status", "analysis"."analyses"."progress", "analysis"."analyses"."configuration",
      "analysis"."analyses"."results", "analysis"."analyses"."summary", "analysis"."analyses"."error_message",
      "analysis"."analyses"."started_at", "analysis"."analyses"."completed_at", "analysis"."analyses"."duration_seconds",
      "analysis"."analyses"."created_by", "analysis"."analyses"."created_at"
), given_up AS (
  UPDATE analysis.analyses
  SET status = 'failed', error_message = CASE times WHEN 1 THEN 'left by its worker, ' ELSE 'left by ' ||
      times || ' workers, the last of them ' END || lost.worker, completed_at = CASE WHEN started_at IS NOT
      NULL THEN GREATEST(pg_catalog.now(), started_at) END, duration_seconds = CASE WHEN started_at IS NOT
      NULL THEN LEAST(GREATEST(EXTRACT(EPOCH FROM GREATEST(pg_catalog.now(), started_at) - started_at), 1),
      2147483647)::integer END
  FROM lost
  JOIN counted USING (analysis_id)
  WHERE analyses.id = lost.analysis_id
  AND times >= $2
  RETURNING "analysis"."analyses"."id", "analysis"."analyses"."project_id", "analysis"."analyses"."type",
      "analysis"."analyses"."status", "analysis"."analyses"."progress", "analysis"."analyses"."configuration",
      "analysis"."analyses"."results", "analysis"."analyses"."summary", "analysis"."analyses"."error_message",
      "analysis"."analyses"."started_at", "analysis"."analyses"."completed_at", "analysis"."analyses"."duration_seconds",
      "analysis"."analyses"."created_by", "analysis"."analyses"."created_at"
), gone AS (
  SELECT *
  FROM requeued
  UNION ALL
  SELECT *
  FROM given_up
)
SELECT gone.*, lost.*
FROM gone
JOIN lost ON lost.analysis_id = gone.id
ORDER BY gone.created_at, gone.id
