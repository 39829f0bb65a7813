-- tools.install_order
-- (text[])
WITH RECURSIVE needed (name) AS (
  SELECT pg_catalog.unnest((
    SELECT $1
  ))
  UNION
  SELECT pg_catalog.unnest(tool.dependencies)
  FROM needed
  CROSS JOIN LATERAL (
    SELECT tools.dependencies
    FROM setup.tools
    WHERE tools.name = needed.name
    AND tools.is_active
    ORDER BY tools.created_at DESC, tools.id DESC
    LIMIT 1
  ) AS tool
)
SELECT tool.*
FROM needed
CROSS JOIN LATERAL (
  SELECT "setup"."tools"."id", "setup"."tools"."name", "setup"."tools"."version", "setup"."tools"."category",
      "setup"."tools"."description", "setup"."tools"."install_command", "setup"."tools"."verify_command",
      "setup"."tools"."configuration_schema", "setup"."tools"."supported_platforms", "setup"."tools"."dependencies",
      "setup"."tools"."metadata", "setup"."tools"."is_active", "setup"."tools"."created_at", "setup"."tools"."updated_at"
  FROM setup.tools
  WHERE tools.name = needed.name
  AND tools.is_active
  ORDER BY tools.created_at DESC, tools.id DESC
  LIMIT 1
) AS tool
