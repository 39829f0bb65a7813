-- pages_with_totals
-- (uuid[], int8)
SELECT ARRAY(
  SELECT record
  FROM (
    SELECT child.*
    FROM pg_catalog.unnest((
      SELECT $1
    )) AS parent (id)
    CROSS JOIN LATERAL (
      SELECT "public"."projects"."id", "public"."projects"."organization_id", "public"."projects"."name",
          "public"."projects"."description", "public"."projects"."repository_url", "public"."projects"."repository_provider",
          "public"."projects"."repository_data", "public"."projects"."configuration", "public"."projects"."status",
          "public"."projects"."visibility", "public"."projects"."created_by", "public"."projects"."created_at",
          "public"."projects"."updated_at", "public"."projects"."last_analyzed_at"
      FROM "public"."projects"
      WHERE ("public"."projects"."organization_id" = parent.id)
      ORDER BY "public"."projects"."created_at" DESC, "public"."projects"."id" DESC
      LIMIT $2
    ) AS child
  ) AS record
), ARRAY(
  SELECT record
  FROM (
    SELECT counted.key, pg_catalog.count(*)
    FROM (
      SELECT "public"."projects"."organization_id"
      FROM "public"."projects"
    ) AS counted (key)
    GROUP BY counted.key
    ORDER BY 2 DESC, 1
  ) AS record
)
