-- analysis_metrics.latest_of_project
-- (text[], uuid)
SELECT latest.*
FROM pg_catalog.unnest((
  SELECT $1
)) AS metric (name)
CROSS JOIN LATERAL (
  SELECT "analysis"."analysis_metrics"."id", "analysis"."analysis_metrics"."analysis_id", "analysis"."analysis_metrics"."metric_name",
      "analysis"."analysis_metrics"."metric_value", "analysis"."analysis_metrics"."metric_unit", "analysis"."analysis_metrics"."category",
      "analysis"."analysis_metrics"."description", "analysis"."analysis_metrics"."trend_direction", "analysis"."analysis_metrics"."created_at"
  FROM analysis.analyses
  JOIN analysis.analysis_metrics ON analysis_metrics.analysis_id = analyses.id
  WHERE analyses.project_id = $2
  AND analyses.status = 'completed'
  AND analysis_metrics.metric_name = metric.name
  ORDER BY analyses.created_at DESC, analyses.id DESC, analysis_metrics.created_at DESC, analysis_metrics.id
      DESC
  LIMIT 1
) AS latest
