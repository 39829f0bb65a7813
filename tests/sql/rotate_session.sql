-- sessions.refresh
-- (text, text, text, int8, text, inet, int8, text)
WITH held AS MATERIALIZED (
  SELECT s.id, s.token_hash, s.refresh_token_hash, s.expires_at, f.ends_at
  FROM public.user_sessions AS s
  JOIN public.user_session_families AS f ON f.session_id = s.id
  JOIN public.users AS u ON u.id = s.user_id
  WHERE s.refresh_token_hash = $1
  AND s.expires_at > pg_catalog.statement_timestamp()
  AND u.is_active
  FOR UPDATE OF s, f
), rotated AS (
  UPDATE public.user_sessions
  SET token_hash = $2, refresh_token_hash = $3, expires_at = LEAST(pg_catalog.statement_timestamp() + $4 *
      INTERVAL '1 microsecond', held.ends_at), last_used_at = pg_catalog.statement_timestamp(), user_agent =
      COALESCE($5, user_sessions.user_agent), ip_address = COALESCE($6, user_sessions.ip_address)
  FROM held
  WHERE user_sessions.id = held.id
  RETURNING "public"."user_sessions"."id", "public"."user_sessions"."user_id", "public"."user_sessions"."token_hash",
      "public"."user_sessions"."refresh_token_hash", "public"."user_sessions"."expires_at", "public"."user_sessions"."created_at",
      "public"."user_sessions"."last_used_at", "public"."user_sessions"."user_agent", "public"."user_sessions"."ip_address"
), family AS (
  UPDATE public.user_session_families AS f
  SET predecessor_hash = held.refresh_token_hash, predecessor_until = pg_catalog.clock_timestamp() + $7 *
      INTERVAL '1 microsecond'
  FROM held
  WHERE f.session_id = held.id
), spent AS (
  INSERT INTO public.rotated_refresh_tokens (token_hash, session_id, expires_at)
  SELECT refresh_token_hash, id, expires_at
  FROM held
)
SELECT CASE WHEN held.id IS NOT NULL THEN 1 ELSE (
  SELECT pg_catalog.count(*)
  FROM (
    SELECT s.id, s.token_hash, s.refresh_token_hash, s.expires_at, f.ends_at
    FROM public.user_sessions AS s
    JOIN public.user_session_families AS f ON f.session_id = s.id
    JOIN public.users AS u ON u.id = s.user_id
    WHERE s.refresh_token_hash = $8
    AND s.expires_at > pg_catalog.statement_timestamp()
    AND u.is_active
  ) AS seen
) END, held.token_hash, rotated.*
FROM (
  SELECT
) AS one
LEFT JOIN held ON TRUE
LEFT JOIN rotated ON TRUE
