-- Four more foreign keys without an index. Their tables are small, so the indexes are not built
-- concurrently: writers wait for milliseconds. If the column may be NULL, only rows with a
-- reference are indexed.
SET LOCAL lock_timeout = '5s';

-- An interrupted concurrent build leaves an index that exists, so that IF NOT EXISTS skips it, but
-- is never used.
DO $$
DECLARE
  unfinished TEXT;
BEGIN
  SELECT string_agg(i.indexrelid::REGCLASS::TEXT, ', ') INTO unfinished
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  WHERE NOT i.indisvalid
    AND (c.relnamespace::REGNAMESPACE::TEXT, c.relname) IN (
      ('analysis', 'idx_analyses_created_by'),
      ('analysis', 'idx_analysis_issues_resolved_by'),
      ('audit', 'idx_system_logs_user_id'),
      ('analysis', 'idx_analysis_metrics_analysis_name'),
      ('analysis', 'idx_analyses_project_created_id'),
      ('analysis', 'idx_analysis_issues_analysis_id_id'),
      ('audit', 'idx_audit_logs_org_created_id'),
      ('public', 'idx_user_sessions_refresh_token')
    );
  IF unfinished IS NOT NULL THEN
    RAISE EXCEPTION 'the concurrent build of % was interrupted', unfinished
      USING ERRCODE = 'object_not_in_prerequisite_state',
        HINT = 'REINDEX INDEX CONCURRENTLY each of them, then migrate again.';
  END IF;
END
$$;

CREATE INDEX IF NOT EXISTS idx_organization_members_invited_by
  ON public.organization_members (invited_by) WHERE invited_by IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_project_members_added_by
  ON public.project_members (added_by) WHERE added_by IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_configurations_created_by ON setup.configurations (created_by);
CREATE INDEX IF NOT EXISTS idx_integrations_created_by ON setup.integrations (created_by);
