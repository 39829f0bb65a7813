-- Serves pages of a project's analyses, newest first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analyses_project_created_id
  ON analysis.analyses (project_id, created_at DESC, id DESC);
