-- configurations.create_many
-- (uuid[], uuid[], uuid[], text[], text[], text[], jsonb[], text[], bool[], uuid[])
INSERT INTO "setup"."configurations" ("id", "organization_id", "project_id", "scope", "category", "name",
    "value", "description", "is_encrypted", "created_by")
SELECT "new"."id", "new"."organization_id", "new"."project_id", "new"."scope"::setup.config_scope, "new"."category"::setup.config_category,
    "new"."name", "new"."value", "new"."description", "new"."is_encrypted", "new"."created_by"
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS "new" ("id", "organization_id", "project_id", "scope",
    "category", "name", "value", "description", "is_encrypted", "created_by")
