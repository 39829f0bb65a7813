-- The design's view and functions, as written, with every name schema-qualified.
-- get_analysis_trends fails at every call, and the other two have faults of their own. Later
-- migrations replace all three and give the reasons.
CREATE SCHEMA IF NOT EXISTS cache;

CREATE VIEW cache.project_stats AS
SELECT
  p.id,
  p.name,
  COUNT(DISTINCT a.id) as total_analyses,
  COUNT(DISTINCT CASE WHEN a.status = 'completed' THEN a.id END) as completed_analyses,
  MAX(a.completed_at) as last_analysis_at,
  AVG(CASE WHEN a.status = 'completed' THEN
    CAST((a.summary->>'overallScore')::text AS DECIMAL)
  END) as avg_quality_score,
  COUNT(DISTINCT pm.user_id) as member_count
FROM public.projects p
LEFT JOIN analysis.analyses a ON p.id = a.project_id
LEFT JOIN public.project_members pm ON p.id = pm.project_id
WHERE p.status = 'active'
GROUP BY p.id, p.name;

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

-- The design's two example children, audit_logs_template and audit_logs_2024_01, are omitted: they
-- show how a month is created, and a new database has no rows for them.
CREATE OR REPLACE FUNCTION audit.create_monthly_partition(table_name TEXT, start_date DATE)
RETURNS VOID AS $$
DECLARE
  partition_name TEXT;
  end_date DATE;
BEGIN
  partition_name := table_name || '_' || TO_CHAR(start_date, 'YYYY_MM');
  end_date := start_date + INTERVAL '1 month';

  EXECUTE format('CREATE TABLE audit.%I (CHECK (created_at >= %L AND created_at < %L)) INHERITS (audit.%I)',
                partition_name, start_date, end_date, table_name);

  EXECUTE format('CREATE INDEX %I ON audit.%I (created_at)',
                'idx_' || partition_name || '_created_at', partition_name);
END;
$$ LANGUAGE plpgsql;
