-- organization_members.delete_many
-- (uuid, uuid)
WITH "owners" ("id", "parent") AS MATERIALIZED (
  SELECT "id", "organization_id"
  FROM "public"."organization_members"
  WHERE "role" = 'owner'::public.organization_role
  AND "organization_id" = ANY (ARRAY(
    SELECT "parent"
    FROM (
      SELECT "public"."organization_members"."id", "public"."organization_members"."organization_id", "public"."organization_members"."role"
      FROM "public"."organization_members"
      WHERE ("public"."organization_members"."user_id" = $1)
    ) AS "seen" ("id", "parent", "role")
    WHERE "role" = 'owner'::public.organization_role
  ))
  ORDER BY "id"
  FOR UPDATE
), "leaving" ("id", "parent", "role") AS MATERIALIZED (
  SELECT "public"."organization_members"."id", "public"."organization_members"."organization_id", "public"."organization_members"."role"
  FROM "public"."organization_members"
  WHERE ("public"."organization_members"."user_id" = $2)
  FOR UPDATE
), "ownerless" AS MATERIALIZED (
  SELECT
  FROM "leaving"
  WHERE "role" = 'owner'::public.organization_role
  AND "parent" NOT IN (
    SELECT "parent"
    FROM "owners"
    WHERE "id" NOT IN (
      SELECT "id"
      FROM "leaving"
    )
  )
), "removed" AS (
  DELETE FROM "public"."organization_members"
  WHERE "id" IN (
    SELECT "id"
    FROM "leaving"
  )
  AND NOT EXISTS (
    SELECT
    FROM "ownerless"
  )
  RETURNING "id"
)
SELECT (
  SELECT pg_catalog.count(*)
  FROM "owners"
), (
  SELECT pg_catalog.count(*)
  FROM "ownerless"
), (
  SELECT pg_catalog.count(*)
  FROM "removed"
)
