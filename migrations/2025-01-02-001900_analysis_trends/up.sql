-- The design's get_analysis_trends fails at every call, since avg_value is both a column and a
-- result. It would also divide days at midnight of the session's time zone. This one has the same
-- signature and the same trend. Days are UTC days. NULL and NaN do not count, so that no result is
-- NULL. A day without a value has no row.
CREATE OR REPLACE FUNCTION analysis.get_analysis_trends(
  project_id_param UUID,
  metric_name_param TEXT,
  days_back INTEGER DEFAULT 30
) RETURNS TABLE(
  date DATE,
  avg_value DECIMAL,
  trend TEXT
)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  WITH daily_metrics AS (
    SELECT
      (a.completed_at AT TIME ZONE 'UTC')::DATE AS analysis_date,
      AVG(am.metric_value) AS daily_value
    FROM analysis.analyses a
    JOIN analysis.analysis_metrics am ON am.analysis_id = a.id
    WHERE a.project_id = project_id_param
      AND a.status = 'completed'
      -- At most some 1,900 years: the subtraction fails below the smallest timestamp, at about
      -- 6,700.
      AND a.completed_at >= (
        NOW() AT TIME ZONE 'UTC'
          - make_interval(days => CASE WHEN days_back > 700000 THEN 700000 ELSE days_back END)
      ) AT TIME ZONE 'UTC'
      AND am.metric_name = metric_name_param
      AND am.metric_value <> 'NaN'
    GROUP BY analysis_date
  )
  SELECT
    d.analysis_date,
    d.daily_value,
    CASE
      WHEN d.daily_value > LAG(d.daily_value) OVER by_day THEN 'improving'
      WHEN d.daily_value < LAG(d.daily_value) OVER by_day THEN 'declining'
      ELSE 'stable'
    END
  FROM daily_metrics d
  WINDOW by_day AS (ORDER BY d.analysis_date)
  ORDER BY d.analysis_date;
END;
