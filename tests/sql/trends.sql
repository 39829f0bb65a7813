-- trends.of_metric
-- (text[], uuid, int4)
SELECT metric.position, trend.date, trend.avg_value, trend.trend::analysis.trend_direction
FROM pg_catalog.unnest((
  SELECT $1
)) WITH ORDINALITY AS metric (name, position)
CROSS JOIN LATERAL analysis.get_analysis_trends($2, metric.name, $3) AS trend
ORDER BY metric.position, trend.date
