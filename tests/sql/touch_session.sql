-- touch_session
-- (uuid, int8)
UPDATE public.user_sessions
SET last_used_at = pg_catalog.statement_timestamp()
WHERE id = (
  SELECT id
  FROM public.user_sessions
  WHERE id = $1
  AND last_used_at <= pg_catalog.statement_timestamp() - $2 * INTERVAL '1 microsecond'
  FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING token_hash
