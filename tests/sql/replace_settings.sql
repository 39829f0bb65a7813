-- replace_settings
-- (uuid[], uuid[], uuid[], jsonb[], jsonb[])
WITH held AS MATERIALIZED (
  SELECT c.id, sealed.new_value
  FROM setup.configurations AS c
  JOIN ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),
      pg_catalog.unnest($5)) AS sealed (id, organization_id, project_id, old_value, new_value) ON sealed.id =
      c.id
  WHERE c.organization_id IS NOT DISTINCT FROM sealed.organization_id
  AND c.project_id IS NOT DISTINCT FROM sealed.project_id
  AND c.is_encrypted
  AND c.value = sealed.old_value
  FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE setup.configurations
SET value = held.new_value
FROM held
WHERE configurations.id = held.id
RETURNING configurations.organization_id, configurations.project_id
