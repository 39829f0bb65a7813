-- insert_many_project_members
-- (uuid[], uuid[], uuid[], text[], timestamptz[], uuid[])
INSERT INTO "public"."project_members" ("id", "project_id", "user_id", "role", "added_at", "added_by")
SELECT "new"."id", "new"."project_id", "new"."user_id", "new"."role"::public.project_role, COALESCE("new"."added_at",
    now()), "new"."added_by"
FROM UNNEST($1, $2, $3, $4, $5, $6) AS "new" ("id", "project_id", "user_id", "role", "added_at", "added_by")
