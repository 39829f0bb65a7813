-- analyses.start
-- (uuid)
UPDATE analysis.analyses
SET status = 'running', started_at = pg_catalog.now()
WHERE id = $1
AND status IN ('pending')
RETURNING "analysis"."analyses"."id", "analysis"."analyses"."project_id", "analysis"."analyses"."type",
    "analysis"."analyses"."status", "analysis"."analyses"."progress", "analysis"."analyses"."configuration",
    "analysis"."analyses"."results", "analysis"."analyses"."summary", "analysis"."analyses"."error_message",
    "analysis"."analyses"."started_at", "analysis"."analyses"."completed_at", "analysis"."analyses"."duration_seconds",
    "analysis"."analyses"."created_by", "analysis"."analyses"."created_at"
