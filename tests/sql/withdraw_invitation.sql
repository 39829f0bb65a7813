-- invitations.withdraw
-- (uuid, uuid)
WITH ended AS (
  DELETE FROM public.organization_invitations
  WHERE id = $1
  RETURNING *
), actor AS (
  SELECT NULLIF(pg_catalog.current_setting('wundr.actor', true), '')::jsonb AS a
), recorded AS (
  INSERT INTO audit.audit_logs (id, user_id, organization_id, action, resource_type, resource_id, new_values,
      metadata, ip_address, user_agent)
  SELECT $2, COALESCE((a ->> 'user')::uuid, NULL), i.organization_id, 'delete', 'organization_invitation', i.id,
      pg_catalog.jsonb_build_object('user_id', i.user_id, 'role', i.role), pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('request',
      a -> 'request')), (a ->> 'ip')::inet, a ->> 'user_agent'
  FROM ended AS i, actor
)
SELECT id, organization_id, user_id, role, invited_by, invited_at, expires_at
FROM ended
