-- maintenance_exchanged_tokens
-- (int8)
SELECT pg_catalog.count(*) AS number
FROM (
  SELECT
  FROM public.rotated_refresh_tokens
  WHERE expires_at <= pg_catalog.now()
  ORDER BY expires_at
  LIMIT $1
) AS expired
