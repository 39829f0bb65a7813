-- erasure_succeed_in_projects
-- (uuid[], uuid)
INSERT INTO public.project_members (project_id, user_id, role)
SELECT o.id, $2, 'owner'
FROM pg_catalog.unnest($1) AS o (id)
ON CONFLICT (project_id, user_id)
DO UPDATE
SET role = 'owner'
