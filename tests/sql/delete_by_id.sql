-- projects.delete
-- (uuid)
DELETE FROM "public"."projects"
WHERE "id" = $1
