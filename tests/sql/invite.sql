-- invitations.invite
-- (uuid, uuid, uuid, public.organization_role, uuid, int8, uuid, uuid, uuid)
WITH invited AS (
  INSERT INTO public.organization_invitations AS i (id, organization_id, user_id, role, invited_by, expires_at)
  SELECT $1, $2, $3, $4, $5, pg_catalog.statement_timestamp() + $6 * INTERVAL '1 microsecond'
  WHERE NOT EXISTS (
    SELECT
    FROM public.organization_members AS m
    WHERE m.organization_id = $7
    AND m.user_id = $8
  )
  ON CONFLICT (organization_id, user_id)
  DO UPDATE
  SET role = EXCLUDED.role, invited_by = EXCLUDED.invited_by, invited_at = EXCLUDED.invited_at, expires_at =
      EXCLUDED.expires_at
  RETURNING i.*
), actor AS (
  SELECT NULLIF(pg_catalog.current_setting('wundr.actor', true), '')::jsonb AS a
), recorded AS (
  INSERT INTO audit.audit_logs (id, user_id, organization_id, action, resource_type, resource_id, new_values,
      metadata, ip_address, user_agent)
  SELECT $9, COALESCE((a ->> 'user')::uuid, i.invited_by), i.organization_id, 'invite',
      'organization_invitation', i.id, pg_catalog.jsonb_build_object('user_id', i.user_id, 'role', i.role),
      pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('request', a -> 'request')), (a ->> 'ip')::inet,
      a ->> 'user_agent'
  FROM invited AS i, actor
)
SELECT id, organization_id, user_id, role, invited_by, invited_at, expires_at
FROM invited
