-- audit_logs.create_many
-- (uuid[], uuid[], uuid[], text[], text[], uuid[], jsonb[], jsonb[], jsonb[], inet[], text[], timestamptz[])
INSERT INTO "audit"."audit_logs" ("id", "user_id", "organization_id", "action", "resource_type", "resource_id",
    "old_values", "new_values", "metadata", "ip_address", "user_agent", "created_at")
SELECT "new"."id", "new"."user_id", "new"."organization_id", "new"."action"::audit.audit_action, "new"."resource_type",
    "new"."resource_id", "new"."old_values", "new"."new_values", COALESCE("new"."metadata", '{}'), "new"."ip_address",
    "new"."user_agent", COALESCE("new"."created_at", now())
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS "new" ("id", "user_id", "organization_id",
    "action", "resource_type", "resource_id", "old_values", "new_values", "metadata", "ip_address",
    "user_agent", "created_at")
