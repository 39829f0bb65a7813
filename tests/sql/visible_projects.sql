-- visible_projects
-- (uuid, uuid, uuid, uuid, uuid, uuid)
SELECT "public"."projects"."id"
FROM "public"."projects"
WHERE ("public"."projects"."status" <> 'deleted'::public.project_status AND EXISTS (
  SELECT
  FROM public.users AS reader
  WHERE reader.is_active
  AND reader.id = $1
) AND ("public"."projects"."visibility" = 'public'::public.project_visibility OR "public"."projects"."created_by"
    = $2 OR "public"."projects"."id" IN (
  SELECT joined.project_id
  FROM public.project_members AS joined
  WHERE joined.user_id = $3
) OR "public"."projects"."organization_id" IN (
  SELECT managed.organization_id
  FROM public.organization_members AS managed
  WHERE managed.role IN ('owner'::public.organization_role, 'admin'::public.organization_role)
  AND managed.user_id = $4
) OR "public"."projects"."visibility" = 'internal'::public.project_visibility AND "public"."projects"."organization_id"
    IN (
  SELECT joined.organization_id
  FROM public.organization_members AS joined
  WHERE joined.user_id = $5
) OR EXISTS (
  SELECT
  FROM public.users AS reader
  WHERE reader.role = 'admin'::public.user_role
  AND reader.id = $6
)))
