-- projects.list_of_organizations
-- (uuid[], int8)
SELECT child.*
FROM pg_catalog.unnest((
  SELECT $1
)) AS parent (id)
CROSS JOIN LATERAL (
  SELECT "public"."projects"."id", "public"."projects"."organization_id", "public"."projects"."name", "public"."projects"."description",
      "public"."projects"."repository_url", "public"."projects"."repository_provider", "public"."projects"."repository_data",
      "public"."projects"."configuration", "public"."projects"."status", "public"."projects"."visibility",
      "public"."projects"."created_by", "public"."projects"."created_at", "public"."projects"."updated_at",
      "public"."projects"."last_analyzed_at"
  FROM "public"."projects"
  WHERE ("public"."projects"."organization_id" = parent.id)
  ORDER BY "public"."projects"."created_at" DESC, "public"."projects"."id" DESC
  LIMIT $2
) AS child
