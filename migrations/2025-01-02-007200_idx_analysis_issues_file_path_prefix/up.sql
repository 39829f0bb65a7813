-- Serves the search for a prefix of the path in every analysis. The design's index on file_path has
-- the collation of the database. LIKE can use that only if the collation is C.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analysis_issues_file_path_prefix
  ON analysis.analysis_issues (file_path text_pattern_ops);
