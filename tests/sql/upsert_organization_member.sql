-- organization_members.upsert
-- (uuid, uuid, uuid, uuid, unknown, timestamptz, uuid, uuid, uuid, timestamptz)
WITH "owners" ("id", "parent") AS MATERIALIZED (
  SELECT "id", "organization_id"
  FROM "public"."organization_members"
  WHERE "role" = 'owner'::public.organization_role
  AND "organization_id" = $1
  ORDER BY "id"
  FOR UPDATE
)
INSERT INTO "public"."organization_members" ("id", "organization_id", "user_id", "role", "joined_at",
    "invited_by")
SELECT $2, $3, $4, $5::public.organization_role, COALESCE($6, now()), $7
WHERE CASE WHEN EXISTS (
  SELECT
  FROM "public"."organization_members"
  WHERE "organization_id" = $8
  AND "user_id" = $9
  AND "role" = 'owner'::public.organization_role
) THEN (
  SELECT pg_catalog.count(*)
  FROM "owners"
) ELSE 1 END >= 0
ON CONFLICT (organization_id, user_id)
DO UPDATE
SET "role" = EXCLUDED."role", "joined_at" = COALESCE($10, "public"."organization_members"."joined_at"),
    "invited_by" = COALESCE(EXCLUDED."invited_by", "public"."organization_members"."invited_by")
WHERE EXCLUDED."role" = 'owner'::public.organization_role OR "public"."organization_members"."role" <> 'owner'::public.organization_role
    OR EXISTS (
  SELECT
  FROM "owners"
  WHERE "owners"."id" <> "public"."organization_members"."id"
)
RETURNING "public"."organization_members"."id", "public"."organization_members"."organization_id", "public"."organization_members"."user_id",
    "public"."organization_members"."role", "public"."organization_members"."joined_at", "public"."organization_members"."invited_by"
