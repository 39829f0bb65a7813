-- organization_members.update
-- (uuid, unknown, uuid, unknown)
WITH "owners" ("id", "parent") AS MATERIALIZED (
  SELECT "id", "organization_id"
  FROM "public"."organization_members"
  WHERE "role" = 'owner'::public.organization_role
  AND "organization_id" = (
    SELECT "organization_id"
    FROM "public"."organization_members"
    WHERE "id" = (
      SELECT "public"."organization_members"."id"
      FROM "public"."organization_members"
      WHERE ("public"."organization_members"."id" = $1)
    )
  )
  ORDER BY "id"
  FOR UPDATE
)
UPDATE "public"."organization_members"
SET "role" = $2::public.organization_role
WHERE "id" = (
  SELECT "public"."organization_members"."id"
  FROM "public"."organization_members"
  WHERE ("public"."organization_members"."id" = $3)
)
AND (COALESCE($4::public.organization_role, 'owner'::public.organization_role) = 'owner'::public.organization_role
    OR "public"."organization_members"."role" <> 'owner'::public.organization_role OR EXISTS (
  SELECT
  FROM "owners"
  WHERE "owners"."id" <> "public"."organization_members"."id"
))
RETURNING "public"."organization_members"."id", "public"."organization_members"."organization_id", "public"."organization_members"."user_id",
    "public"."organization_members"."role", "public"."organization_members"."joined_at", "public"."organization_members"."invited_by"
