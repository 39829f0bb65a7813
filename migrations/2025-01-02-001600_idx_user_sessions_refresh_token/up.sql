-- Refreshing a session searches by refresh_token_hash, which has no index in the design.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_user_sessions_refresh_token
  ON public.user_sessions (refresh_token_hash);
