-- Serves pages of an analysis's issues in their default order, worst first. Without the id, a page
-- sorts all issues of the worst severity, since many share it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analysis_issues_analysis_severity_id
  ON analysis.analysis_issues (analysis_id, severity, id);
