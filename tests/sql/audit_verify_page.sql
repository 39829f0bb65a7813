-- audit_logs.verify
-- (date, int4, timestamptz, uuid, timestamptz, bytea, timestamptz)
WITH actual AS MATERIALIZED (
  SELECT e.*, pg_catalog.row_number() OVER (ORDER BY e.created_at, e.id) AS place
  FROM (
    SELECT l.id, l.created_at, pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array( l.id, l.user_id,
        l.organization_id, l.action, l.resource_type, l.resource_id, l.old_values, l.new_values, l.metadata, l.ip_address,
        l.user_agent, (EXTRACT(EPOCH FROM l.created_at) * 1000000)::bigint)::text, 'UTF8')) AS digest
    FROM audit.audit_logs AS l
    WHERE l.created_at >= $3
    AND l.created_at < $5
    AND (l.created_at, l.id) >= ($3, $4)
    AND (l.created_at, l.id) < ( COALESCE((
      SELECT first_created_at
      FROM audit.audit_log_seal_pages
      WHERE month = $1
      AND page = $2 + 1
    ), $5), COALESCE((
      SELECT first_id
      FROM audit.audit_log_seal_pages
      WHERE month = $1
      AND page = $2 + 1
    ), '00000000-0000-0000-0000-000000000000'::uuid))
  ) AS e
), sealed AS MATERIALIZED (
  SELECT e.id, e.digest, e.place, COALESCE(n.digest, e.digest) AS expected
  FROM audit.audit_log_seal_pages AS p
  CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(p.ids), pg_catalog.unnest(p.digests)) WITH ORDINALITY AS e (id,
      digest, place)
  LEFT JOIN (
    SELECT DISTINCT ON (entry_id) entry_id, sealed, digest
    FROM audit.audit_log_anonymizations
    WHERE month = $1
    ORDER BY entry_id, generation DESC
  ) AS n ON n.entry_id = e.id
  AND n.sealed = e.digest
  WHERE p.month = $1
  AND p.page = $2
), different AS (
  SELECT COALESCE(s.id, a.id) AS id, a.id IS NULL AS is_gone, s.id IS NULL AS is_new
  FROM actual AS a FULL
  JOIN sealed AS s ON s.id = a.id
  WHERE a.digest IS DISTINCT FROM s.expected
  ORDER BY LEAST(a.place, s.place), is_new
  LIMIT 1
)
SELECT p.hash, pg_catalog.cardinality(p.ids)::bigint AS entries, p.hash = pg_catalog.sha256($6 || (
  SELECT pg_catalog.string_agg(digest, ''::bytea ORDER BY place)
  FROM sealed
)) AS is_chained, n.first_created_at AS next_created_at, n.first_id AS next_id, d.id, CASE WHEN d.is_gone
AND NOT EXISTS (
  SELECT
  FROM audit.audit_logs AS l
  WHERE l.id = d.id
  AND l.created_at >= $7
  AND l.created_at < $5
) THEN 'removed' WHEN d.is_new
AND NOT EXISTS (
  SELECT
  FROM audit.audit_log_seal_pages AS o
  WHERE o.month = $1
  AND d.id = ANY (o.ids)
) THEN 'added' WHEN d.id IS NOT NULL THEN 'changed' END AS difference
FROM (
  SELECT 1
) AS one
LEFT JOIN audit.audit_log_seal_pages AS p ON p.month = $1
AND p.page = $2
LEFT JOIN audit.audit_log_seal_pages AS n ON n.month = $1
AND n.page = $2 + 1
LEFT JOIN different AS d ON TRUE
