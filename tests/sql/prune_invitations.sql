-- invitations.delete_expired
-- (int8)
DELETE FROM public.organization_invitations
WHERE id IN (
  SELECT id
  FROM public.organization_invitations
  WHERE expires_at <= pg_catalog.statement_timestamp()
  ORDER BY expires_at
  LIMIT $1
  FOR UPDATE SKIP LOCKED
)
