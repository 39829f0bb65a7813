-- is_one_of
-- (uuid[])
SELECT "public"."projects"."id"
FROM "public"."projects"
WHERE ("public"."projects"."organization_id" = ANY ((
  SELECT $1
)::pg_catalog.uuid[]))
