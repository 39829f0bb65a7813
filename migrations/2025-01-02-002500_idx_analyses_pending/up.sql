-- Serves the queue: pending analyses, oldest first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_analyses_pending
  ON analysis.analyses (created_at, id) WHERE status = 'pending';
