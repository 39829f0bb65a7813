-- users.update
-- (text, unknown, uuid)
UPDATE "public"."users"
SET "name" = $1, "role" = $2::public.user_role
WHERE "id" = $3
RETURNING "public"."users"."id", "public"."users"."email", "public"."users"."name", "public"."users"."role",
    "public"."users"."avatar_url", "public"."users"."github_username", "public"."users"."preferences",
    "public"."users"."is_active", "public"."users"."email_verified", "public"."users"."last_login_at",
    "public"."users"."created_at", "public"."users"."updated_at"
