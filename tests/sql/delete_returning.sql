-- user_sessions.delete_many
-- ()
DELETE FROM "public"."user_sessions"
WHERE "id" IN (
  SELECT "public"."user_sessions"."id"
  FROM "public"."user_sessions"
  FOR UPDATE
)
RETURNING "public"."user_sessions"."token_hash"
