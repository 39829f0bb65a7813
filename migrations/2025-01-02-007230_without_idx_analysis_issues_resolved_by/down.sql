CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analysis_issues_resolved_by
  ON analysis.analysis_issues (resolved_by) WHERE resolved_by IS NOT NULL;
