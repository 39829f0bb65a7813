-- before_cursor
-- (text, uuid)
SELECT "public"."projects"."id"
FROM "public"."projects"
WHERE (("public"."projects"."name", "public"."projects"."id") < ((
  SELECT $1
), (
  SELECT $2
)))
ORDER BY "public"."projects"."name" DESC, "public"."projects"."id" DESC
