-- count_by_most_frequent
-- (uuid, int8)
SELECT counted.key, pg_catalog.count(*)
FROM (
  SELECT "public"."projects"."id"
  FROM "public"."projects"
  WHERE ("public"."projects"."organization_id" = $1)
) AS counted (key)
GROUP BY counted.key
ORDER BY 2 DESC, 1
LIMIT $2
