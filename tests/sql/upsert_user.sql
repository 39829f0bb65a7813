-- users.upsert
-- (uuid, text, text, unknown, text, text, jsonb, bool, bool)
INSERT INTO "public"."users" ("id", "email", "name", "role", "avatar_url", "github_username", "preferences",
    "is_active", "email_verified")
VALUES ($1, $2, $3, COALESCE($4::public.user_role, 'developer'), $5, $6, COALESCE($7, '{}'), COALESCE($8, true),
    COALESCE($9, false))
ON CONFLICT (pg_catalog.lower(email COLLATE pg_catalog."C"))
DO UPDATE
SET "email" = EXCLUDED."email", "name" = EXCLUDED."name", "role" = COALESCE($4::public.user_role, "public"."users"."role"),
    "avatar_url" = COALESCE(EXCLUDED."avatar_url", "public"."users"."avatar_url"), "github_username" =
    COALESCE(EXCLUDED."github_username", "public"."users"."github_username"), "preferences" = COALESCE($7,
    "public"."users"."preferences"), "is_active" = COALESCE($8, "public"."users"."is_active"),
    "email_verified" = COALESCE($9, "public"."users"."email_verified")
RETURNING "public"."users"."id", "public"."users"."email", "public"."users"."name", "public"."users"."role",
    "public"."users"."avatar_url", "public"."users"."github_username", "public"."users"."preferences",
    "public"."users"."is_active", "public"."users"."email_verified", "public"."users"."last_login_at",
    "public"."users"."created_at", "public"."users"."updated_at"
