-- analyses.cancel
-- (uuid)
UPDATE analysis.analyses
SET status = 'cancelled', completed_at = CASE WHEN started_at IS NOT NULL THEN GREATEST(pg_catalog.now(),
    started_at) END, duration_seconds = CASE WHEN started_at IS NOT NULL THEN LEAST(GREATEST(EXTRACT(EPOCH
    FROM GREATEST(pg_catalog.now(), started_at) - started_at), 1), 2147483647)::integer END
WHERE id = $1
AND status IN ('pending', 'running')
RETURNING "analysis"."analyses"."id", "analysis"."analyses"."project_id", "analysis"."analyses"."type",
    "analysis"."analyses"."status", "analysis"."analyses"."progress", "analysis"."analyses"."configuration",
    "analysis"."analyses"."results", "analysis"."analyses"."summary", "analysis"."analyses"."error_message",
    "analysis"."analyses"."started_at", "analysis"."analyses"."completed_at", "analysis"."analyses"."duration_seconds",
    "analysis"."analyses"."created_by", "analysis"."analyses"."created_at"
