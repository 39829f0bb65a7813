-- Deleting a user searches for that user's log entries. The foreign key has no index in the design.
-- Most entries have no user and are not in this index.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_system_logs_user_id
  ON audit.system_logs (user_id) WHERE user_id IS NOT NULL;
