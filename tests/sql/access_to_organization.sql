-- organizations.access
-- (uuid, uuid)
SELECT reader.role, member.role
FROM public.organizations AS organization
JOIN public.users AS reader ON reader.is_active
AND reader.id = $1
LEFT JOIN public.organization_members AS member ON member.organization_id = organization.id
AND member.user_id = reader.id
WHERE organization.id = $2
