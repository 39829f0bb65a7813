-- standing_of_user
-- (uuid)
SELECT reader.is_active, reader.role, ARRAY(
  SELECT member.organization_id
  FROM public.organization_members AS member
  WHERE member.user_id = reader.id
  ORDER BY member.organization_id
), ARRAY(
  SELECT member.role
  FROM public.organization_members AS member
  WHERE member.user_id = reader.id
  ORDER BY member.organization_id
), ARRAY(
  SELECT member.project_id
  FROM public.project_members AS member
  WHERE member.user_id = reader.id
  ORDER BY member.project_id
), ARRAY(
  SELECT member.role
  FROM public.project_members AS member
  WHERE member.user_id = reader.id
  ORDER BY member.project_id
)
FROM public.users AS reader
WHERE reader.id = $1
