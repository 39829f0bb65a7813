-- invitations.find
-- (uuid)
SELECT id, organization_id, user_id, role, invited_by, invited_at, expires_at
FROM public.organization_invitations
WHERE id = $1
