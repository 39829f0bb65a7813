-- Serves pages of an analysis's issues by id. This is the only index added for every row of the
-- table that receives the bulk loads: without it, each page sorts all issues of the analysis.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analysis_issues_analysis_id_id
  ON analysis.analysis_issues (analysis_id, id);
