-- erasure_succeed
-- (uuid[], uuid)
INSERT INTO public.organization_members (organization_id, user_id, role)
SELECT o.id, $2, 'owner'
FROM pg_catalog.unnest($1) AS o (id)
ON CONFLICT (organization_id, user_id)
DO UPDATE
SET role = 'owner'
