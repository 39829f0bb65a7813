-- sessions.refresh
-- (text, uuid, inet, text, bool)
WITH ended AS (
  DELETE FROM public.user_sessions
  WHERE id = (
    SELECT session_id
    FROM public.rotated_refresh_tokens
    WHERE token_hash = $1
    AND expires_at > pg_catalog.statement_timestamp()
  )
  RETURNING id, user_id, token_hash
), recorded AS (
  INSERT INTO audit.audit_logs (id, user_id, action, resource_type, resource_id, metadata, ip_address,
      user_agent)
  SELECT $2, user_id, 'reject', 'user_session', id, '{"reason": "refresh token reused"}', $3, $4
  FROM ended
  WHERE $5
)
SELECT id, user_id, token_hash
FROM ended
