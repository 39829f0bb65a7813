-- audit_logs.seal
-- (date, int4, timestamptz, uuid, timestamptz, bytea)
WITH entries AS MATERIALIZED (
  SELECT l.id, l.created_at, pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array( l.id, l.user_id,
      l.organization_id, l.action, l.resource_type, l.resource_id, l.old_values, l.new_values, l.metadata, l.ip_address,
      l.user_agent, (EXTRACT(EPOCH FROM l.created_at) * 1000000)::bigint)::text, 'UTF8')) AS digest
  FROM audit.audit_logs AS l
  WHERE l.created_at >= $3
  AND l.created_at < $5
  AND (l.created_at, l.id) > ($3, $4)
  ORDER BY l.created_at, l.id
  LIMIT 1000
), page AS MATERIALIZED (
  SELECT pg_catalog.count(*) AS entries, pg_catalog.array_agg(id ORDER BY created_at, id) AS ids, pg_catalog.array_agg(created_at
      ORDER BY created_at, id) AS times, pg_catalog.array_agg(digest ORDER BY created_at, id) AS digests,
      pg_catalog.sha256($6 || pg_catalog.string_agg(digest, ''::bytea ORDER BY created_at, id)) AS hash
  FROM entries
), written AS (
  INSERT INTO audit.audit_log_seal_pages (month, page, first_created_at, first_id, ids, digests, hash)
  SELECT $1, $2, times[1], ids[1], ids, digests, hash
  FROM page
  WHERE entries > 0
)
SELECT entries, times[entries] AS created_at, ids[entries] AS id, hash
FROM page
