-- users.create
-- (uuid, text, text, text, text)
INSERT INTO "public"."users" ("id", "email", "name", "avatar_url", "github_username")
VALUES ($1, $2, $3, $4, $5)
RETURNING "public"."users"."id", "public"."users"."email", "public"."users"."name", "public"."users"."role",
    "public"."users"."avatar_url", "public"."users"."github_username", "public"."users"."preferences",
    "public"."users"."is_active", "public"."users"."email_verified", "public"."users"."last_login_at",
    "public"."users"."created_at", "public"."users"."updated_at"
