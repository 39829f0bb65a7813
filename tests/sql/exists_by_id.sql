-- projects.exists
-- (uuid)
SELECT EXISTS (
  SELECT
  FROM "public"."projects"
  WHERE "id" = $1
)
