-- Deleting a user searches for the issues that the user resolved. The foreign key has no index in
-- the design. New issues are unresolved, so a partial index costs bulk loads nothing.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analysis_issues_resolved_by
  ON analysis.analysis_issues (resolved_by) WHERE resolved_by IS NOT NULL;
