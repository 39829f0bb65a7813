-- integrations.create_many
-- (uuid[], uuid[], uuid[], text[], text[], jsonb[], jsonb[], text[], text[], bool[], timestamptz[], text[], uuid[])
INSERT INTO "setup"."integrations" ("id", "organization_id", "project_id", "type", "name", "configuration",
    "credentials", "webhook_url", "webhook_secret", "is_enabled", "last_sync_at", "sync_status", "created_by")
SELECT "new"."id", "new"."organization_id", "new"."project_id", "new"."type"::setup.integration_type, "new"."name",
    COALESCE("new"."configuration", '{}'), "new"."credentials", "new"."webhook_url", "new"."webhook_secret",
    COALESCE("new"."is_enabled", true), "new"."last_sync_at", COALESCE("new"."sync_status"::setup.sync_status,
    'never'), "new"."created_by"
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS "new" ("id", "organization_id",
    "project_id", "type", "name", "configuration", "credentials", "webhook_url", "webhook_secret",
    "is_enabled", "last_sync_at", "sync_status", "created_by")
