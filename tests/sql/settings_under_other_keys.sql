-- db.reseal
-- (uuid, int4, int8)
SELECT id, organization_id, project_id, value
FROM setup.configurations
WHERE id > $1
AND is_encrypted
AND pg_catalog.substring(value #>> '{}', '^v1[|]([0-9]{1,5})[|][A-Za-z0-9_-]{32}[|][A-Za-z0-9_-]{22,}$')::integer
    IS DISTINCT FROM $2
ORDER BY id
LIMIT $3
