-- sessions.prune
-- (int8)
DELETE FROM public.rotated_refresh_tokens
WHERE token_hash IN (
  SELECT token_hash
  FROM public.rotated_refresh_tokens
  WHERE expires_at <= pg_catalog.statement_timestamp()
  ORDER BY expires_at
  LIMIT $1
  FOR UPDATE SKIP LOCKED
)
