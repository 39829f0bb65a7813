-- get_analysis_trends reads one metric of each of a project's analyses by an index-only scan.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analysis_metrics_analysis_name
  ON analysis.analysis_metrics (analysis_id, metric_name) INCLUDE (metric_value);
