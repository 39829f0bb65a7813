-- organization_name
-- (uuid)
SELECT name::text
FROM public.organizations
WHERE id = $1
