-- invitations.accept
-- (uuid, uuid, uuid, uuid)
WITH ended AS (
  DELETE FROM public.organization_invitations
  WHERE id = $1
  AND user_id = $2
  AND expires_at > pg_catalog.statement_timestamp()
  RETURNING *
), member AS (
  INSERT INTO public.organization_members (id, organization_id, user_id, role, invited_by)
  SELECT $3, organization_id, user_id, role, invited_by
  FROM ended
  ON CONFLICT (organization_id, user_id) DO NOTHING
  RETURNING id, organization_id, user_id, role, joined_at, invited_by
), accepted AS (
  SELECT e.*
  FROM ended AS e, member
), actor AS (
  SELECT NULLIF(pg_catalog.current_setting('wundr.actor', true), '')::jsonb AS a
), recorded AS (
  INSERT INTO audit.audit_logs (id, user_id, organization_id, action, resource_type, resource_id, new_values,
      metadata, ip_address, user_agent)
  SELECT $4, COALESCE((a ->> 'user')::uuid, i.user_id), i.organization_id, 'accept', 'organization_invitation',
      i.id, pg_catalog.jsonb_build_object('user_id', i.user_id, 'role', i.role), pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('request',
      a -> 'request')), (a ->> 'ip')::inet, a ->> 'user_agent'
  FROM accepted AS i, actor
)
SELECT id, organization_id, user_id, role, joined_at, invited_by
FROM member
