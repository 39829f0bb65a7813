-- sessions.refresh
-- (text, text, text, text, int8, text, inet, text, text)
WITH held AS MATERIALIZED (
  SELECT s.id, s.token_hash, s.refresh_token_hash, s.expires_at, f.ends_at
  FROM public.rotated_refresh_tokens AS r
  JOIN public.user_sessions AS s ON s.id = r.session_id
  JOIN public.user_session_families AS f ON f.session_id = s.id
  JOIN public.users AS u ON u.id = s.user_id
  WHERE r.token_hash = $1
  AND f.predecessor_hash = $2
  AND f.predecessor_until > pg_catalog.statement_timestamp()
  AND s.refresh_token_hash IS NOT NULL
  AND s.expires_at > pg_catalog.statement_timestamp()
  AND u.is_active
  FOR UPDATE OF s, f
), rotated AS (
  UPDATE public.user_sessions
  SET token_hash = $3, refresh_token_hash = $4, expires_at = LEAST(pg_catalog.statement_timestamp() + $5 *
      INTERVAL '1 microsecond', held.ends_at), last_used_at = pg_catalog.statement_timestamp(), user_agent =
      COALESCE($6, user_sessions.user_agent), ip_address = COALESCE($7, user_sessions.ip_address)
  FROM held
  WHERE user_sessions.id = held.id
  RETURNING "public"."user_sessions"."id", "public"."user_sessions"."user_id", "public"."user_sessions"."token_hash",
      "public"."user_sessions"."refresh_token_hash", "public"."user_sessions"."expires_at", "public"."user_sessions"."created_at",
      "public"."user_sessions"."last_used_at", "public"."user_sessions"."user_agent", "public"."user_sessions"."ip_address"
), family AS (
  UPDATE public.user_session_families AS f
  SET predecessor_hash = NULL, predecessor_until = NULL
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
    FROM public.rotated_refresh_tokens AS r
    JOIN public.user_sessions AS s ON s.id = r.session_id
    JOIN public.user_session_families AS f ON f.session_id = s.id
    JOIN public.users AS u ON u.id = s.user_id
    WHERE r.token_hash = $8
    AND f.predecessor_hash = $9
    AND f.predecessor_until > pg_catalog.statement_timestamp()
    AND s.refresh_token_hash IS NOT NULL
    AND s.expires_at > pg_catalog.statement_timestamp()
    AND u.is_active
  ) AS seen
) END, held.token_hash, rotated.*
FROM (
  SELECT
) AS one
LEFT JOIN held ON TRUE
LEFT JOIN rotated ON TRUE
