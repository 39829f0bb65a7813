-- sessions.revoke_others
-- (uuid, uuid, uuid, inet, text, bool)
WITH ended AS (
  DELETE FROM public.user_sessions
  WHERE user_id = (
    SELECT user_id
    FROM public.user_sessions
    WHERE id = $1
  )
  AND id <> $2
  RETURNING id, user_id, token_hash
), recorded AS (
  INSERT INTO audit.audit_logs (id, user_id, action, resource_type, resource_id, metadata, ip_address,
      user_agent)
  SELECT $3, COALESCE((NULLIF(pg_catalog.current_setting('wundr.actor', true), '')::jsonb ->> 'user')::uuid,
      user_id), 'logout', 'user', user_id, pg_catalog.jsonb_build_object('sessions', pg_catalog.count(*)), $4,
      $5
  FROM ended
  WHERE $6
  GROUP BY user_id
)
SELECT id, user_id, token_hash
FROM ended
