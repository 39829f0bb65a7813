-- users.create
-- (uuid, text, text, unknown, text, text, jsonb, bool, bool)
INSERT INTO "public"."users" ("id", "email", "name", "role", "avatar_url", "github_username", "preferences",
    "is_active", "email_verified")
VALUES ($1, $2, $3, $4::public.user_role, $5, $6, $7, $8, $9)
RETURNING "public"."users"."id", "public"."users"."email", "public"."users"."name", "public"."users"."role",
    "public"."users"."avatar_url", "public"."users"."github_username", "public"."users"."preferences",
    "public"."users"."is_active", "public"."users"."email_verified", "public"."users"."last_login_at",
    "public"."users"."created_at", "public"."users"."updated_at"
