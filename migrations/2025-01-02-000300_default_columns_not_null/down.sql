SET LOCAL lock_timeout = '5s';

ALTER TABLE public.users
  ADD CONSTRAINT users_defaults_not_null
    CHECK (preferences IS NOT NULL AND is_active IS NOT NULL AND email_verified IS NOT NULL AND
      created_at IS NOT NULL AND updated_at IS NOT NULL),
  ALTER COLUMN preferences DROP NOT NULL,
  ALTER COLUMN is_active DROP NOT NULL,
  ALTER COLUMN email_verified DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL,
  ALTER COLUMN updated_at DROP NOT NULL;

ALTER TABLE public.user_sessions
  ADD CONSTRAINT user_sessions_defaults_not_null
    CHECK (created_at IS NOT NULL AND last_used_at IS NOT NULL),
  ALTER COLUMN created_at DROP NOT NULL,
  ALTER COLUMN last_used_at DROP NOT NULL;

ALTER TABLE public.organizations
  ADD CONSTRAINT organizations_defaults_not_null
    CHECK (settings IS NOT NULL AND subscription_plan IS NOT NULL AND created_at IS NOT NULL AND
      updated_at IS NOT NULL),
  ALTER COLUMN settings DROP NOT NULL,
  ALTER COLUMN subscription_plan DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL,
  ALTER COLUMN updated_at DROP NOT NULL;

ALTER TABLE public.organization_members
  ADD CONSTRAINT organization_members_defaults_not_null
    CHECK (joined_at IS NOT NULL),
  ALTER COLUMN joined_at DROP NOT NULL;

ALTER TABLE public.projects
  ADD CONSTRAINT projects_defaults_not_null
    CHECK (configuration IS NOT NULL AND status IS NOT NULL AND visibility IS NOT NULL AND
      created_at IS NOT NULL AND updated_at IS NOT NULL),
  ALTER COLUMN configuration DROP NOT NULL,
  ALTER COLUMN status DROP NOT NULL,
  ALTER COLUMN visibility DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL,
  ALTER COLUMN updated_at DROP NOT NULL;

ALTER TABLE public.project_members
  ADD CONSTRAINT project_members_defaults_not_null
    CHECK (added_at IS NOT NULL),
  ALTER COLUMN added_at DROP NOT NULL;

ALTER TABLE analysis.analyses
  ADD CONSTRAINT analyses_defaults_not_null
    CHECK (status IS NOT NULL AND progress IS NOT NULL AND configuration IS NOT NULL AND
      created_at IS NOT NULL),
  ALTER COLUMN status DROP NOT NULL,
  ALTER COLUMN progress DROP NOT NULL,
  ALTER COLUMN configuration DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL;

ALTER TABLE analysis.analysis_results
  ADD CONSTRAINT analysis_results_defaults_not_null
    CHECK (metrics IS NOT NULL AND issues IS NOT NULL AND dependencies IS NOT NULL AND
      created_at IS NOT NULL),
  ALTER COLUMN metrics DROP NOT NULL,
  ALTER COLUMN issues DROP NOT NULL,
  ALTER COLUMN dependencies DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL;

ALTER TABLE analysis.analysis_issues
  ADD CONSTRAINT analysis_issues_defaults_not_null
    CHECK (status IS NOT NULL AND created_at IS NOT NULL),
  ALTER COLUMN status DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL;

ALTER TABLE analysis.analysis_metrics
  ADD CONSTRAINT analysis_metrics_defaults_not_null
    CHECK (created_at IS NOT NULL),
  ALTER COLUMN created_at DROP NOT NULL;

ALTER TABLE analysis.dependency_graphs
  ADD CONSTRAINT dependency_graphs_defaults_not_null
    CHECK (metadata IS NOT NULL AND created_at IS NOT NULL),
  ALTER COLUMN metadata DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL;

ALTER TABLE analysis.duplicate_groups
  ADD CONSTRAINT duplicate_groups_defaults_not_null
    CHECK (created_at IS NOT NULL),
  ALTER COLUMN created_at DROP NOT NULL;

ALTER TABLE setup.setup_profiles
  ADD CONSTRAINT setup_profiles_defaults_not_null
    CHECK (templates IS NOT NULL AND prerequisites IS NOT NULL AND visibility IS NOT NULL AND
      is_featured IS NOT NULL AND created_at IS NOT NULL AND updated_at IS NOT NULL),
  ALTER COLUMN templates DROP NOT NULL,
  ALTER COLUMN prerequisites DROP NOT NULL,
  ALTER COLUMN visibility DROP NOT NULL,
  ALTER COLUMN is_featured DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL,
  ALTER COLUMN updated_at DROP NOT NULL;

ALTER TABLE setup.setup_sessions
  ADD CONSTRAINT setup_sessions_defaults_not_null
    CHECK (status IS NOT NULL AND progress IS NOT NULL AND configuration IS NOT NULL AND logs IS NOT NULL AND
      created_at IS NOT NULL),
  ALTER COLUMN status DROP NOT NULL,
  ALTER COLUMN progress DROP NOT NULL,
  ALTER COLUMN configuration DROP NOT NULL,
  ALTER COLUMN logs DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL;

ALTER TABLE setup.setup_steps
  ADD CONSTRAINT setup_steps_defaults_not_null
    CHECK (status IS NOT NULL AND created_at IS NOT NULL),
  ALTER COLUMN status DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL;

ALTER TABLE setup.tools
  ADD CONSTRAINT tools_defaults_not_null
    CHECK (supported_platforms IS NOT NULL AND metadata IS NOT NULL AND is_active IS NOT NULL AND
      created_at IS NOT NULL AND updated_at IS NOT NULL),
  ALTER COLUMN supported_platforms DROP NOT NULL,
  ALTER COLUMN metadata DROP NOT NULL,
  ALTER COLUMN is_active DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL,
  ALTER COLUMN updated_at DROP NOT NULL;

ALTER TABLE setup.configurations
  ADD CONSTRAINT configurations_defaults_not_null
    CHECK (is_encrypted IS NOT NULL AND created_at IS NOT NULL AND updated_at IS NOT NULL),
  ALTER COLUMN is_encrypted DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL,
  ALTER COLUMN updated_at DROP NOT NULL;

ALTER TABLE setup.integrations
  ADD CONSTRAINT integrations_defaults_not_null
    CHECK (is_enabled IS NOT NULL AND sync_status IS NOT NULL AND created_at IS NOT NULL AND
      updated_at IS NOT NULL),
  ALTER COLUMN is_enabled DROP NOT NULL,
  ALTER COLUMN sync_status DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL,
  ALTER COLUMN updated_at DROP NOT NULL;

ALTER TABLE audit.audit_logs
  ADD CONSTRAINT audit_logs_defaults_not_null
    CHECK (metadata IS NOT NULL AND created_at IS NOT NULL),
  ALTER COLUMN metadata DROP NOT NULL,
  ALTER COLUMN created_at DROP NOT NULL;

ALTER TABLE audit.system_logs
  ADD CONSTRAINT system_logs_defaults_not_null
    CHECK (created_at IS NOT NULL),
  ALTER COLUMN created_at DROP NOT NULL;
