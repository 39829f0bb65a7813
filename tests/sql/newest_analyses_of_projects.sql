-- analyses.of_projects
-- (uuid[], int8)
SELECT newest.*
FROM (
  SELECT DISTINCT pg_catalog.unnest((
    SELECT $1
  ))
) AS project (id)
CROSS JOIN LATERAL (
  SELECT "analysis"."analyses"."id", "analysis"."analyses"."project_id", "analysis"."analyses"."type",
      "analysis"."analyses"."status", "analysis"."analyses"."progress", "analysis"."analyses"."configuration",
      "analysis"."analyses"."results", "analysis"."analyses"."summary", "analysis"."analyses"."error_message",
      "analysis"."analyses"."started_at", "analysis"."analyses"."completed_at", "analysis"."analyses"."duration_seconds",
      "analysis"."analyses"."created_by", "analysis"."analyses"."created_at"
  FROM analysis.analyses
  WHERE analyses.project_id = project.id
  ORDER BY analyses.created_at DESC, analyses.id DESC
  LIMIT (
    SELECT $2
  )
) AS newest
ORDER BY newest.created_at DESC, newest.id DESC
