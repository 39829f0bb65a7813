-- insert_many_organization_members
-- (uuid[], uuid[], uuid[], text[], timestamptz[], uuid[])
INSERT INTO "public"."organization_members" ("id", "organization_id", "user_id", "role", "joined_at",
    "invited_by")
SELECT "new"."id", "new"."organization_id", "new"."user_id", "new"."role"::public.organization_role, COALESCE("new"."joined_at",
    now()), "new"."invited_by"
FROM UNNEST($1, $2, $3, $4, $5, $6) AS "new" ("id", "organization_id", "user_id", "role", "joined_at",
    "invited_by")
