-- literal_limit
-- (uuid)
SELECT "public"."projects"."id"
FROM "public"."projects"
WHERE ("public"."projects"."organization_id" = $1)
ORDER BY "public"."projects"."id"
LIMIT 51
