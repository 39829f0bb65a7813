-- An analysis' issues by id, a page at a time. The one index added to every row of the table that takes the
-- bulk loads: without it each page sorts all issues of the analysis.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analysis_issues_analysis_id_id
  ON analysis.analysis_issues (analysis_id, id);
