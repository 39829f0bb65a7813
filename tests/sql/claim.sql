-- analyses.claim
-- (text[], text, int8)
WITH next AS MATERIALIZED (
  SELECT id
  FROM analysis.analyses
  WHERE status = 'pending'
  AND EXISTS (
    SELECT
    FROM public.projects
    WHERE projects.id = analyses.project_id
    AND projects.status = 'active'
  )
  AND type = ANY ($1::analysis.analysis_type[])
  AND progress IS NOT NULL
  AND configuration IS NOT NULL
  AND created_by IS NOT NULL
  AND created_at IS NOT NULL
  ORDER BY created_at, id
  LIMIT 1
  FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
  UPDATE analysis.analyses
  SET status = 'running', started_at = pg_catalog.now(), completed_at = NULL, duration_seconds = NULL
  FROM next
  WHERE analyses.id = next.id
  RETURNING "analysis"."analyses"."id", "analysis"."analyses"."project_id", "analysis"."analyses"."type",
      "analysis"."analyses"."status", "analysis"."analyses"."progress", "analysis"."analyses"."configuration",
      "analysis"."analyses"."results", "analysis"."analyses"."summary", "analysis"."analyses"."error_message",
      "analysis"."analyses"."started_at", "analysis"."analyses"."completed_at", "analysis"."analyses"."duration_seconds",
      "analysis"."analyses"."created_by", "analysis"."analyses"."created_at"
), lease AS (
  INSERT INTO analysis.analysis_leases (analysis_id, worker, expires_at)
  SELECT id, $2, pg_catalog.statement_timestamp() + $3 * INTERVAL '1 microsecond'
  FROM claimed
  ON CONFLICT (analysis_id)
  DO UPDATE
  SET worker = EXCLUDED.worker, fence = DEFAULT, expires_at = EXCLUDED.expires_at
  RETURNING analysis_id, worker, fence, expires_at
)
SELECT claimed.*, lease.*
FROM claimed
CROSS JOIN lease
