CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analysis_issues_analysis_id_id
  ON analysis.analysis_issues (analysis_id, id);
