-- users.create_many
-- (uuid[], text[], text[], text[], text[], text[], jsonb[], bool[], bool[])
INSERT INTO "public"."users" ("id", "email", "name", "role", "avatar_url", "github_username", "preferences",
    "is_active", "email_verified")
SELECT "new"."id", "new"."email", "new"."name", COALESCE("new"."role"::public.user_role, 'developer'), "new"."avatar_url",
    "new"."github_username", COALESCE("new"."preferences", '{}'), COALESCE("new"."is_active", true), COALESCE("new"."email_verified",
    false)
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9) AS "new" ("id", "email", "name", "role", "avatar_url",
    "github_username", "preferences", "is_active", "email_verified")
