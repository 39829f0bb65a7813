-- db.sealed_by_key
-- ()
SELECT secret.key, pg_catalog.count(*)
FROM (
  SELECT pg_catalog.substring(credentials #>> '{}',
      '^v1[|]([0-9]{1,5})[|][A-Za-z0-9_-]{32}[|][A-Za-z0-9_-]{22,}$')::integer AS key
  FROM setup.integrations
  WHERE credentials IS NOT NULL
  UNION ALL
  SELECT pg_catalog.substring(webhook_secret, '^v1[|]([0-9]{1,5})[|][A-Za-z0-9_-]{32}[|][A-Za-z0-9_-]{22,}$')::integer
  FROM setup.integrations
  WHERE webhook_secret IS NOT NULL
  UNION ALL
  SELECT pg_catalog.substring(value #>> '{}', '^v1[|]([0-9]{1,5})[|][A-Za-z0-9_-]{32}[|][A-Za-z0-9_-]{22,}$')::integer
  FROM setup.configurations
  WHERE is_encrypted
) AS secret
GROUP BY secret.key
