-- db.reseal
-- (uuid, int4, int4, int8)
SELECT id, organization_id, project_id, credentials, webhook_secret
FROM setup.integrations
WHERE id > $1
AND (credentials IS NOT NULL AND pg_catalog.substring(credentials #>> '{}',
    '^v1[|]([0-9]{1,5})[|][A-Za-z0-9_-]{32}[|][A-Za-z0-9_-]{22,}$')::integer IS DISTINCT FROM $2 OR
    webhook_secret IS NOT NULL AND pg_catalog.substring(webhook_secret,
    '^v1[|]([0-9]{1,5})[|][A-Za-z0-9_-]{32}[|][A-Za-z0-9_-]{22,}$')::integer IS DISTINCT FROM $3)
ORDER BY id
LIMIT $4
