-- analyses.access
-- (uuid, uuid, uuid, uuid, uuid, uuid, uuid, uuid)
SELECT projects.id, projects.created_by = reader.id, projects.visibility, reader.role, organization.role,
    project.role
FROM "public"."projects"
JOIN public.users AS reader ON reader.id = $1
LEFT JOIN public.organization_members AS organization ON organization.organization_id = projects.organization_id
AND organization.user_id = reader.id
LEFT JOIN public.project_members AS project ON project.project_id = projects.id
AND project.user_id = reader.id
WHERE projects.id = (
  SELECT analysis.project_id
  FROM analysis.analyses AS analysis
  WHERE analysis.id = $2
)
AND ("public"."projects"."status" <> 'deleted'::public.project_status AND EXISTS (
  SELECT
  FROM public.users AS reader
  WHERE reader.is_active
  AND reader.id = $3
) AND ("public"."projects"."visibility" = 'public'::public.project_visibility OR "public"."projects"."created_by"
    = $4 OR "public"."projects"."id" IN (
  SELECT joined.project_id
  FROM public.project_members AS joined
  WHERE joined.user_id = $5
) OR "public"."projects"."organization_id" IN (
  SELECT managed.organization_id
  FROM public.organization_members AS managed
  WHERE managed.role IN ('owner'::public.organization_role, 'admin'::public.organization_role)
  AND managed.user_id = $6
) OR "public"."projects"."visibility" = 'internal'::public.project_visibility AND "public"."projects"."organization_id"
    IN (
  SELECT joined.organization_id
  FROM public.organization_members AS joined
  WHERE joined.user_id = $7
) OR EXISTS (
  SELECT
  FROM public.users AS reader
  WHERE reader.role = 'admin'::public.user_role
  AND reader.id = $8
)))
