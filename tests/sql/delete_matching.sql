-- users.delete_many
-- (bool)
DELETE FROM "public"."users"
WHERE "id" IN (
  SELECT "public"."users"."id"
  FROM "public"."users"
  WHERE ("public"."users"."is_active" = $1)
  FOR UPDATE
)
