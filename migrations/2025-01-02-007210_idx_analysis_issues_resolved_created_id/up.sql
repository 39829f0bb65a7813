-- Serves the issues that a user resolved, newest first, and the foreign key of the user. It is the
-- successor of idx_analysis_issues_resolved_by. New issues are unresolved, so that a partial index
-- costs bulk loads nothing.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analysis_issues_resolved_created_id
  ON analysis.analysis_issues (resolved_by, created_at, id) WHERE resolved_by IS NOT NULL;
