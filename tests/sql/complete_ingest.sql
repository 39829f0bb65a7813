-- analyses.ingest
-- (jsonb, uuid, uuid)
UPDATE analysis.analyses
SET status = 'completed', progress = 100, summary = $1, started_at = run.started_at, completed_at = run.completed_at,
    duration_seconds = COALESCE(duration_seconds, LEAST(GREATEST(EXTRACT(EPOCH FROM run.completed_at - run.started_at),
    1), 2147483647)::integer)
FROM (
  SELECT times.started_at, GREATEST(times.completed_at, times.started_at) AS completed_at
  FROM (
    SELECT COALESCE(started_at, pg_catalog.now()) AS started_at, COALESCE(completed_at, pg_catalog.clock_timestamp())
        AS completed_at
    FROM analysis.analyses
    WHERE id = $2
  ) AS times
) AS run
WHERE analyses.id = $3
RETURNING "analysis"."analyses"."id", "analysis"."analyses"."project_id", "analysis"."analyses"."type",
    "analysis"."analyses"."status", "analysis"."analyses"."progress", "analysis"."analyses"."configuration",
    "analysis"."analyses"."results", "analysis"."analyses"."summary", "analysis"."analyses"."error_message",
    "analysis"."analyses"."started_at", "analysis"."analyses"."completed_at", "analysis"."analyses"."duration_seconds",
    "analysis"."analyses"."created_by", "analysis"."analyses"."created_at"
