-- sessions.open
-- (uuid, uuid, text, text, int8, text, inet, int8, uuid, bool)
WITH account AS MATERIALIZED (
  SELECT id
  FROM public.users
  WHERE id = $1
  AND is_active FOR SHARE
), opened AS (
  INSERT INTO public.user_sessions (id, user_id, token_hash, refresh_token_hash, expires_at, user_agent,
      ip_address)
  SELECT $2, account.id, $3, $4, pg_catalog.statement_timestamp() + $5 * INTERVAL '1 microsecond', $6, $7
  FROM account
  RETURNING "public"."user_sessions"."id", "public"."user_sessions"."user_id", "public"."user_sessions"."token_hash",
      "public"."user_sessions"."refresh_token_hash", "public"."user_sessions"."expires_at", "public"."user_sessions"."created_at",
      "public"."user_sessions"."last_used_at", "public"."user_sessions"."user_agent", "public"."user_sessions"."ip_address"
), family AS (
  INSERT INTO public.user_session_families (session_id, ends_at)
  SELECT id, pg_catalog.statement_timestamp() + $8 * INTERVAL '1 microsecond'
  FROM opened
), recorded AS (
  INSERT INTO audit.audit_logs (id, user_id, action, resource_type, resource_id, ip_address, user_agent)
  SELECT $9, user_id, 'login', 'user_session', id, ip_address, user_agent
  FROM opened
  WHERE $10
)
SELECT *
FROM opened
