-- projects.find_many
-- (uuid[])
SELECT "public"."projects"."id", "public"."projects"."organization_id", "public"."projects"."name", "public"."projects"."description",
    "public"."projects"."repository_url", "public"."projects"."repository_provider", "public"."projects"."repository_data",
    "public"."projects"."configuration", "public"."projects"."status", "public"."projects"."visibility",
    "public"."projects"."created_by", "public"."projects"."created_at", "public"."projects"."updated_at",
    "public"."projects"."last_analyzed_at"
FROM "public"."projects"
WHERE "id" = ANY ((
  SELECT $1
)::pg_catalog.uuid[])
