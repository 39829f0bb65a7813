-- projects.create_many
-- (uuid[], uuid[], text[], text[], text[], text[], jsonb[], jsonb[], text[], text[], uuid[], timestamptz[], timestamptz[])
INSERT INTO "public"."projects" ("id", "organization_id", "name", "description", "repository_url",
    "repository_provider", "repository_data", "configuration", "status", "visibility", "created_by",
    "created_at", "last_analyzed_at")
SELECT "new"."id", "new"."organization_id", "new"."name", "new"."description", "new"."repository_url", "new"."repository_provider"::public.repository_provider,
    "new"."repository_data", COALESCE("new"."configuration", '{}'), COALESCE("new"."status"::public.project_status,
    'active'), COALESCE("new"."visibility"::public.project_visibility, 'private'), "new"."created_by",
    COALESCE("new"."created_at", now()), "new"."last_analyzed_at"
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS "new" ("id", "organization_id", "name",
    "description", "repository_url", "repository_provider", "repository_data", "configuration", "status",
    "visibility", "created_by", "created_at", "last_analyzed_at")
