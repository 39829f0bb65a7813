-- newest_analyses_of_types
-- (uuid)
SELECT newest.*
FROM pg_catalog.unnest(pg_catalog.enum_range(NULL::analysis.analysis_type)) WITH ORDINALITY AS kind (type,
    position)
CROSS JOIN LATERAL (
  SELECT "analysis"."analyses"."id", "analysis"."analyses"."project_id", "analysis"."analyses"."type",
      "analysis"."analyses"."status", "analysis"."analyses"."progress", "analysis"."analyses"."configuration",
      "analysis"."analyses"."results", "analysis"."analyses"."summary", "analysis"."analyses"."error_message",
      "analysis"."analyses"."started_at", "analysis"."analyses"."completed_at", "analysis"."analyses"."duration_seconds",
      "analysis"."analyses"."created_by", "analysis"."analyses"."created_at"
  FROM analysis.analyses
  WHERE analyses.project_id = $1
  AND analyses.type = kind.type
  ORDER BY analyses.created_at DESC, analyses.id DESC
  LIMIT 1
) AS newest
ORDER BY kind.position
