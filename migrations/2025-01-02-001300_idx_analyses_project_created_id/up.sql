-- A project's analyses, newest first, a page at a time.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analyses_project_created_id
  ON analysis.analyses (project_id, created_at DESC, id DESC);
