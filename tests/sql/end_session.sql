-- sessions.revoke
-- (uuid, uuid, inet, text, bool)
WITH ended AS (
  DELETE FROM public.user_sessions
  WHERE id = $1
  RETURNING id, user_id, token_hash
), recorded AS (
  INSERT INTO audit.audit_logs (id, user_id, action, resource_type, resource_id, metadata, ip_address,
      user_agent)
  SELECT $2, COALESCE((NULLIF(pg_catalog.current_setting('wundr.actor', true), '')::jsonb ->> 'user')::uuid,
      user_id), 'logout', 'user_session', id, pg_catalog.jsonb_build_object('user', user_id), $3, $4
  FROM ended
  WHERE $5
)
SELECT id, user_id, token_hash
FROM ended
