-- before_cursor
-- (text, uuid)
SELECT "public"."projects"."id"
FROM "public"."projects"
WHERE (("public"."projects"."name", "public"."projects"."id") < ($1, $2))
ORDER BY "public"."projects"."name" DESC, "public"."projects"."id" DESC
