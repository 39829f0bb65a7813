-- invitations.of_organization
-- (uuid)
SELECT id, organization_id, user_id, role, invited_by, invited_at, expires_at
FROM public.organization_invitations
WHERE organization_id = $1
AND expires_at > pg_catalog.statement_timestamp()
ORDER BY invited_at, id
