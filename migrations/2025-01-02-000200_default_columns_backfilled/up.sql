-- Second of three steps: every NULL is replaced by its column's default, and the checks are
-- validated.
SET LOCAL lock_timeout = '5s';

-- A child by inheritance may contain a row without a time. The child's range check accepts that
-- row, but would reject it with today's time. Such a child loses that check; as a partition it gets
-- a bound instead.
DO $$
DECLARE
  child RECORD;
  has_untimed_rows BOOLEAN;
BEGIN
  FOR child IN
    WITH RECURSIVE children AS (
      SELECT i.inhrelid FROM pg_inherits i
      WHERE i.inhparent IN ('audit.audit_logs'::REGCLASS, 'audit.system_logs'::REGCLASS)
      UNION
      SELECT i.inhrelid FROM pg_inherits i JOIN children c ON i.inhparent = c.inhrelid
    )
    SELECT k.conrelid::REGCLASS AS relation, k.conname AS range_check
    FROM children c
    JOIN pg_attribute a ON a.attrelid = c.inhrelid AND a.attname = 'created_at'
    JOIN pg_constraint k ON k.conrelid = c.inhrelid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
    WHERE k.conislocal AND k.coninhcount = 0
  LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s WHERE created_at IS NULL)', child.relation)
      INTO has_untimed_rows;
    IF has_untimed_rows THEN
      EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', child.relation, child.range_check);
    END IF;
  END LOOP;
END
$$;

UPDATE public.users SET
  preferences = COALESCE(preferences, '{}'),
  is_active = COALESCE(is_active, TRUE),
  email_verified = COALESCE(email_verified, FALSE),
  created_at = COALESCE(created_at, NOW()),
  updated_at = COALESCE(updated_at, NOW())
WHERE preferences IS NULL OR is_active IS NULL OR email_verified IS NULL OR created_at IS NULL OR
  updated_at IS NULL;

UPDATE public.user_sessions SET
  created_at = COALESCE(created_at, NOW()),
  last_used_at = COALESCE(last_used_at, NOW())
WHERE created_at IS NULL OR last_used_at IS NULL;

UPDATE public.organizations SET
  settings = COALESCE(settings, '{}'),
  subscription_plan = COALESCE(subscription_plan, 'free'),
  created_at = COALESCE(created_at, NOW()),
  updated_at = COALESCE(updated_at, NOW())
WHERE settings IS NULL OR subscription_plan IS NULL OR created_at IS NULL OR updated_at IS NULL;

UPDATE public.organization_members SET
  joined_at = COALESCE(joined_at, NOW())
WHERE joined_at IS NULL;

UPDATE public.projects SET
  configuration = COALESCE(configuration, '{}'),
  status = COALESCE(status, 'active'),
  visibility = COALESCE(visibility, 'private'),
  created_at = COALESCE(created_at, NOW()),
  updated_at = COALESCE(updated_at, NOW())
WHERE configuration IS NULL OR status IS NULL OR visibility IS NULL OR created_at IS NULL OR
  updated_at IS NULL;

UPDATE public.project_members SET
  added_at = COALESCE(added_at, NOW())
WHERE added_at IS NULL;

-- check_progress_status requires 100 for a completed analysis, where the default is 0.
UPDATE analysis.analyses SET
  status = COALESCE(status, 'pending'),
  progress = COALESCE(progress, CASE WHEN status = 'completed' THEN 100 ELSE 0 END),
  configuration = COALESCE(configuration, '{}'),
  created_at = COALESCE(created_at, NOW())
WHERE status IS NULL OR progress IS NULL OR configuration IS NULL OR created_at IS NULL;

UPDATE analysis.analysis_results SET
  metrics = COALESCE(metrics, '{}'),
  issues = COALESCE(issues, '[]'),
  dependencies = COALESCE(dependencies, '[]'),
  created_at = COALESCE(created_at, NOW())
WHERE metrics IS NULL OR issues IS NULL OR dependencies IS NULL OR created_at IS NULL;

UPDATE analysis.analysis_issues SET
  status = COALESCE(status, 'open'),
  created_at = COALESCE(created_at, NOW())
WHERE status IS NULL OR created_at IS NULL;

UPDATE analysis.analysis_metrics SET
  created_at = COALESCE(created_at, NOW())
WHERE created_at IS NULL;

UPDATE analysis.dependency_graphs SET
  metadata = COALESCE(metadata, '{}'),
  created_at = COALESCE(created_at, NOW())
WHERE metadata IS NULL OR created_at IS NULL;

UPDATE analysis.duplicate_groups SET
  created_at = COALESCE(created_at, NOW())
WHERE created_at IS NULL;

UPDATE setup.setup_profiles SET
  templates = COALESCE(templates, '[]'),
  prerequisites = COALESCE(prerequisites, '[]'),
  visibility = COALESCE(visibility, 'private'),
  is_featured = COALESCE(is_featured, FALSE),
  created_at = COALESCE(created_at, NOW()),
  updated_at = COALESCE(updated_at, NOW())
WHERE templates IS NULL OR prerequisites IS NULL OR visibility IS NULL OR is_featured IS NULL OR
  created_at IS NULL OR updated_at IS NULL;

UPDATE setup.setup_sessions SET
  status = COALESCE(status, 'pending'),
  progress = COALESCE(progress, 0),
  configuration = COALESCE(configuration, '{}'),
  logs = COALESCE(logs, '[]'),
  created_at = COALESCE(created_at, NOW())
WHERE status IS NULL OR progress IS NULL OR configuration IS NULL OR logs IS NULL OR created_at IS NULL;

UPDATE setup.setup_steps SET
  status = COALESCE(status, 'pending'),
  created_at = COALESCE(created_at, NOW())
WHERE status IS NULL OR created_at IS NULL;

UPDATE setup.tools SET
  supported_platforms = COALESCE(supported_platforms, '{}'),
  metadata = COALESCE(metadata, '{}'),
  is_active = COALESCE(is_active, TRUE),
  created_at = COALESCE(created_at, NOW()),
  updated_at = COALESCE(updated_at, NOW())
WHERE supported_platforms IS NULL OR metadata IS NULL OR is_active IS NULL OR created_at IS NULL OR
  updated_at IS NULL;

UPDATE setup.configurations SET
  is_encrypted = COALESCE(is_encrypted, FALSE),
  created_at = COALESCE(created_at, NOW()),
  updated_at = COALESCE(updated_at, NOW())
WHERE is_encrypted IS NULL OR created_at IS NULL OR updated_at IS NULL;

UPDATE setup.integrations SET
  is_enabled = COALESCE(is_enabled, TRUE),
  sync_status = COALESCE(sync_status, 'never'),
  created_at = COALESCE(created_at, NOW()),
  updated_at = COALESCE(updated_at, NOW())
WHERE is_enabled IS NULL OR sync_status IS NULL OR created_at IS NULL OR updated_at IS NULL;

UPDATE audit.audit_logs SET
  metadata = COALESCE(metadata, '{}'),
  created_at = COALESCE(created_at, NOW())
WHERE metadata IS NULL OR created_at IS NULL;

UPDATE audit.system_logs SET
  created_at = COALESCE(created_at, NOW())
WHERE created_at IS NULL;

ALTER TABLE public.users VALIDATE CONSTRAINT users_defaults_not_null;
ALTER TABLE public.user_sessions VALIDATE CONSTRAINT user_sessions_defaults_not_null;
ALTER TABLE public.organizations VALIDATE CONSTRAINT organizations_defaults_not_null;
ALTER TABLE public.organization_members VALIDATE CONSTRAINT organization_members_defaults_not_null;
ALTER TABLE public.projects VALIDATE CONSTRAINT projects_defaults_not_null;
ALTER TABLE public.project_members VALIDATE CONSTRAINT project_members_defaults_not_null;
ALTER TABLE analysis.analyses VALIDATE CONSTRAINT analyses_defaults_not_null;
ALTER TABLE analysis.analysis_results VALIDATE CONSTRAINT analysis_results_defaults_not_null;
ALTER TABLE analysis.analysis_issues VALIDATE CONSTRAINT analysis_issues_defaults_not_null;
ALTER TABLE analysis.analysis_metrics VALIDATE CONSTRAINT analysis_metrics_defaults_not_null;
ALTER TABLE analysis.dependency_graphs VALIDATE CONSTRAINT dependency_graphs_defaults_not_null;
ALTER TABLE analysis.duplicate_groups VALIDATE CONSTRAINT duplicate_groups_defaults_not_null;
ALTER TABLE setup.setup_profiles VALIDATE CONSTRAINT setup_profiles_defaults_not_null;
ALTER TABLE setup.setup_sessions VALIDATE CONSTRAINT setup_sessions_defaults_not_null;
ALTER TABLE setup.setup_steps VALIDATE CONSTRAINT setup_steps_defaults_not_null;
ALTER TABLE setup.tools VALIDATE CONSTRAINT tools_defaults_not_null;
ALTER TABLE setup.configurations VALIDATE CONSTRAINT configurations_defaults_not_null;
ALTER TABLE setup.integrations VALIDATE CONSTRAINT integrations_defaults_not_null;
ALTER TABLE audit.audit_logs VALIDATE CONSTRAINT audit_logs_defaults_not_null;
ALTER TABLE audit.system_logs VALIDATE CONSTRAINT system_logs_defaults_not_null;
