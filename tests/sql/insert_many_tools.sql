-- tools.create_many
-- (uuid[], text[], text[], text[], text[], text[], text[], jsonb[], text[], text[], jsonb[], bool[])
INSERT INTO "setup"."tools" ("id", "name", "version", "category", "description", "install_command",
    "verify_command", "configuration_schema", "supported_platforms", "dependencies", "metadata", "is_active")
SELECT "new"."id", "new"."name", "new"."version", "new"."category"::setup.tool_category, "new"."description",
    "new"."install_command", "new"."verify_command", "new"."configuration_schema", COALESCE("new"."supported_platforms"::setup.platform[],
    '{}'), "new"."dependencies"::pg_catalog.text[], COALESCE("new"."metadata", '{}'), COALESCE("new"."is_active",
    true)
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS "new" ("id", "name", "version", "category",
    "description", "install_command", "verify_command", "configuration_schema", "supported_platforms",
    "dependencies", "metadata", "is_active")
