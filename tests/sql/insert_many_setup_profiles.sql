-- setup_profiles.create_many
-- (uuid[], text[], text[], text[], jsonb[], jsonb[], jsonb[], jsonb[], int4[], text[], bool[], uuid[], uuid[])
INSERT INTO "setup"."setup_profiles" ("id", "name", "description", "category", "configuration", "tools",
    "templates", "prerequisites", "estimated_duration", "visibility", "is_featured", "created_by",
    "organization_id")
SELECT "new"."id", "new"."name", "new"."description", "new"."category"::setup.setup_category, COALESCE("new"."configuration",
    '{}'), COALESCE("new"."tools", '[]'), COALESCE("new"."templates", '[]'), COALESCE("new"."prerequisites",
    '[]'), "new"."estimated_duration", COALESCE("new"."visibility"::setup.profile_visibility, 'private'),
    COALESCE("new"."is_featured", false), "new"."created_by", "new"."organization_id"
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS "new" ("id", "name", "description",
    "category", "configuration", "tools", "templates", "prerequisites", "estimated_duration", "visibility",
    "is_featured", "created_by", "organization_id")
