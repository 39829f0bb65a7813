-- rows_and_total
-- (uuid, uuid)
SELECT ARRAY(
  SELECT record
  FROM (
    SELECT "public"."projects"."id"
    FROM "public"."projects"
    WHERE ("public"."projects"."organization_id" = $1)
  ) AS record
), (
  SELECT COUNT(*)
  FROM "public"."projects"
  WHERE ("public"."projects"."organization_id" = $2)
)
