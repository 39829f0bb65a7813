-- analyses.complete
-- (jsonb, uuid)
UPDATE analysis.analyses
SET status = 'completed', progress = 100, summary = $1, started_at = COALESCE(started_at, pg_catalog.now() -
    INTERVAL '1 second'), completed_at = GREATEST(pg_catalog.now(), started_at), duration_seconds = LEAST(GREATEST(EXTRACT(EPOCH
    FROM GREATEST(pg_catalog.now(), started_at) - started_at), 1), 2147483647)::integer
WHERE id = $2
AND status IN ('running')
RETURNING "analysis"."analyses"."id", "analysis"."analyses"."project_id", "analysis"."analyses"."type",
    "analysis"."analyses"."status", "analysis"."analyses"."progress", "analysis"."analyses"."configuration",
    "analysis"."analyses"."results", "analysis"."analyses"."summary", "analysis"."analyses"."error_message",
    "analysis"."analyses"."started_at", "analysis"."analyses"."completed_at", "analysis"."analyses"."duration_seconds",
    "analysis"."analyses"."created_by", "analysis"."analyses"."created_at"
