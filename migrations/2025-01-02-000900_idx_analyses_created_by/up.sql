-- Deleting a user searches for that user's analyses. The foreign key has no index in the design.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analyses_created_by ON analysis.analyses (created_by);
