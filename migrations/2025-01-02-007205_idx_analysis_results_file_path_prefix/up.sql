-- Serves the search for a prefix of the path, as idx_analysis_issues_file_path_prefix does.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analysis_results_file_path_prefix
  ON analysis.analysis_results (file_path text_pattern_ops);
