-- update_user_sessions
-- (timestamptz, uuid)
UPDATE "public"."user_sessions"
SET "expires_at" = $1
WHERE "id" IN (
  SELECT "public"."user_sessions"."id"
  FROM "public"."user_sessions"
  WHERE ("public"."user_sessions"."user_id" = $2)
  FOR UPDATE
)
RETURNING "public"."user_sessions"."token_hash"
