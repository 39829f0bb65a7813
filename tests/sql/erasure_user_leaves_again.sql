-- erasure_user_leaves_again
-- (uuid, text)
WITH chosen AS MATERIALIZED (
  SELECT l.id, l.created_at, pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array( l.id, l.user_id,
      l.organization_id, l.action, l.resource_type, l.resource_id, l.old_values, l.new_values, l.metadata, l.ip_address,
      l.user_agent, (EXTRACT(EPOCH FROM l.created_at) * 1000000)::bigint)::text, 'UTF8')) AS digest
  FROM audit.audit_logs AS l
  WHERE (l.user_id = $1 OR l.resource_id = $1 OR l.old_values::text ~* $2 OR l.new_values::text ~* $2 OR l.metadata::text
      ~* $2)
  AND l.created_at >= pg_catalog.now()
), changed AS (
  UPDATE audit.audit_logs AS l
  SET user_id = NULLIF(l.user_id, $1), resource_id = NULLIF(l.resource_id, $1), ip_address = CASE WHEN l.user_id
      = $1 OR l.metadata ->> 'user' = $1::text THEN NULL ELSE l.ip_address END, user_agent = CASE WHEN l.user_id
      = $1 OR l.metadata ->> 'user' = $1::text THEN NULL ELSE l.user_agent END, old_values = pg_catalog.regexp_replace((CASE
      WHEN pg_catalog.jsonb_typeof(l.old_values) <> 'object' THEN l.old_values WHEN l.resource_type = 'user'
      AND l.resource_id = $1 THEN l.old_values -
      '{email,name,avatar_url,github_username,preferences,last_login_at}'::text[] WHEN l.resource_type =
      'user_session' AND l.old_values ->> 'user_id' = $1::text THEN l.old_values - '{ip_address,user_agent}'::text[]
      ELSE l.old_values END)::text, $2, '[erased]', 'gi')::jsonb, new_values = pg_catalog.regexp_replace((CASE
      WHEN pg_catalog.jsonb_typeof(l.new_values) <> 'object' THEN l.new_values WHEN l.resource_type = 'user'
      AND l.resource_id = $1 THEN l.new_values -
      '{email,name,avatar_url,github_username,preferences,last_login_at}'::text[] WHEN l.resource_type =
      'user_session' AND l.new_values ->> 'user_id' = $1::text THEN l.new_values - '{ip_address,user_agent}'::text[]
      ELSE l.new_values END)::text, $2, '[erased]', 'gi')::jsonb, metadata = pg_catalog.regexp_replace((CASE
      WHEN pg_catalog.jsonb_typeof(l.metadata) <> 'object' THEN l.metadata WHEN l.resource_type = 'user' AND l.resource_id
      = $1 THEN l.metadata - '{email,name,avatar_url,github_username,preferences,last_login_at}'::text[] WHEN
      l.resource_type = 'user_session' AND l.metadata ->> 'user_id' = $1::text THEN l.metadata -
      '{ip_address,user_agent}'::text[] ELSE l.metadata END)::text, $2, '[erased]', 'gi')::jsonb
  FROM chosen AS c
  WHERE l.id = c.id
  AND l.created_at = c.created_at
  RETURNING l.id, c.digest AS former, pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array( l.id,
      l.user_id, l.organization_id, l.action, l.resource_type, l.resource_id, l.old_values, l.new_values, l.metadata,
      l.ip_address, l.user_agent, (EXTRACT(EPOCH FROM l.created_at) * 1000000)::bigint)::text, 'UTF8')) AS
      digest, pg_catalog.date_trunc('month', pg_catalog.timezone('UTC', l.created_at))::date AS month
), sealed AS (
  SELECT p.month, e.id, e.digest
  FROM audit.audit_log_seal_pages AS p
  CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(p.ids), pg_catalog.unnest(p.digests)) AS e (id, digest)
  WHERE p.month IN (
    SELECT month
    FROM changed
  )
), noted AS (
  INSERT INTO audit.audit_log_anonymizations (month, entry_id, generation, sealed, digest)
  SELECT s.month, s.id, COALESCE(n.generation, 0) + 1, s.digest, c.digest
  FROM changed AS c
  JOIN sealed AS s ON s.month = c.month
  AND s.id = c.id
  LEFT JOIN LATERAL (
    SELECT o.generation, o.digest
    FROM audit.audit_log_anonymizations AS o
    WHERE o.month = s.month
    AND o.entry_id = s.id
    AND o.sealed = s.digest
    ORDER BY o.generation DESC
    LIMIT 1
  ) AS n ON TRUE
  WHERE c.former = COALESCE(n.digest, s.digest)
  RETURNING month
)
SELECT (
  SELECT pg_catalog.count(*)
  FROM changed
) AS entries, COALESCE((
  SELECT pg_catalog.array_agg(DISTINCT month)
  FROM noted
), '{}') AS months
