-- replace_integrations
-- (uuid[], uuid[], uuid[], jsonb[], text[], jsonb[], text[])
WITH held AS MATERIALIZED (
  SELECT i.id, sealed.new_credentials, sealed.new_webhook_secret
  FROM setup.integrations AS i
  JOIN ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),
      pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7)) AS sealed (id, organization_id,
      project_id, old_credentials, old_webhook_secret, new_credentials, new_webhook_secret) ON sealed.id = i.id
  WHERE i.organization_id IS NOT DISTINCT FROM sealed.organization_id
  AND i.project_id IS NOT DISTINCT FROM sealed.project_id
  AND i.credentials IS NOT DISTINCT FROM sealed.old_credentials
  AND i.webhook_secret IS NOT DISTINCT FROM sealed.old_webhook_secret
  FOR NO KEY UPDATE OF i SKIP LOCKED
)
UPDATE setup.integrations
SET credentials = held.new_credentials, webhook_secret = held.new_webhook_secret
FROM held
WHERE integrations.id = held.id
RETURNING integrations.id
