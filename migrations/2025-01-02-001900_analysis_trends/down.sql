-- The design's function, as created by the first layer.
CREATE OR REPLACE FUNCTION analysis.get_analysis_trends(
  project_id_param UUID,
  metric_name_param TEXT,
  days_back INTEGER DEFAULT 30
) RETURNS TABLE(
  date DATE,
  avg_value DECIMAL,
  trend TEXT
) AS $$
BEGIN
  RETURN QUERY
  WITH daily_metrics AS (
    SELECT
      DATE(a.completed_at) as analysis_date,
      AVG(CAST(am.metric_value AS DECIMAL)) as avg_value
    FROM analysis.analyses a
    JOIN analysis.analysis_metrics am ON a.id = am.analysis_id
    WHERE a.project_id = project_id_param
      AND am.metric_name = metric_name_param
      AND a.completed_at >= NOW() - (days_back || ' days')::INTERVAL
      AND a.status = 'completed'
    GROUP BY DATE(a.completed_at)
    ORDER BY analysis_date
  ),
  trends AS (
    SELECT
      analysis_date,
      avg_value,
      CASE
        WHEN LAG(avg_value) OVER (ORDER BY analysis_date) IS NULL THEN 'stable'
        WHEN avg_value > LAG(avg_value) OVER (ORDER BY analysis_date) THEN 'improving'
        WHEN avg_value < LAG(avg_value) OVER (ORDER BY analysis_date) THEN 'declining'
        ELSE 'stable'
      END as trend
    FROM daily_metrics
  )
  SELECT * FROM trends;
END;
$$ LANGUAGE plpgsql;
