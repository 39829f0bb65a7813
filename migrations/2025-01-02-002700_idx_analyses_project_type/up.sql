-- Serves the newest analysis of a project and type. Without it, a type that the project had long
-- ago, or never, is searched for in all of its analyses.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analyses_project_type_created_id
  ON analysis.analyses (project_id, type, created_at DESC, id DESC);
