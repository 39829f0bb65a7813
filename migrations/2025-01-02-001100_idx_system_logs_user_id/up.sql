-- Deleting a user looks for that user's log lines: the foreign key has no index in the design. Most lines
-- have no user and stay out of this one.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_system_logs_user_id
  ON audit.system_logs (user_id) WHERE user_id IS NOT NULL;
