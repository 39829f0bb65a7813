-- log_archive_drop
-- ()
DO $$ DECLARE cleared BIGINT; BEGIN PERFORM pg_catalog.set_config('wundr.cleared', '0', true);
UPDATE audit.audit_logs_2024_01 AS l
SET user_id = NULL, metadata = CASE WHEN l.metadata IS NULL THEN '{}'::jsonb WHEN pg_catalog.jsonb_typeof(l.metadata)
    = 'object' THEN l.metadata ELSE pg_catalog.jsonb_build_object('metadata', l.metadata) END || pg_catalog.jsonb_build_object('dangling_user_id',
    l.user_id)
WHERE l.user_id IS NOT NULL
AND NOT EXISTS (
  SELECT
  FROM public.users AS t
  WHERE t.id = l.user_id
); GET DIAGNOSTICS cleared = ROW_COUNT; PERFORM pg_catalog.set_config('wundr.cleared', (pg_catalog.current_setting('wundr.cleared')::bigint
    + cleared)::text, true);
UPDATE audit.audit_logs_2024_01 AS l
SET organization_id = NULL, metadata = CASE WHEN l.metadata IS NULL THEN '{}'::jsonb WHEN pg_catalog.jsonb_typeof(l.metadata)
    = 'object' THEN l.metadata ELSE pg_catalog.jsonb_build_object('metadata', l.metadata) END || pg_catalog.jsonb_build_object('dangling_organization_id',
    l.organization_id)
WHERE l.organization_id IS NOT NULL
AND NOT EXISTS (
  SELECT
  FROM public.organizations AS t
  WHERE t.id = l.organization_id
); GET DIAGNOSTICS cleared = ROW_COUNT; PERFORM pg_catalog.set_config('wundr.cleared', (pg_catalog.current_setting('wundr.cleared')::bigint
    + cleared)::text, true); END $$
