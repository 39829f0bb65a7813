-- maintenance_expired_sessions
-- (int8)
SELECT pg_catalog.count(*) AS number
FROM (
  SELECT
  FROM public.user_sessions
  WHERE expires_at <= pg_catalog.now()
  ORDER BY expires_at
  LIMIT $1
) AS expired
