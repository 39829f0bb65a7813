-- The values are kept, since the rows that had NULL are no longer known. The checks apply to new
-- rows only again.
SET LOCAL lock_timeout = '5s';

ALTER TABLE public.users DROP CONSTRAINT users_defaults_not_null;
ALTER TABLE public.users ADD CONSTRAINT users_defaults_not_null
  CHECK (preferences IS NOT NULL AND is_active IS NOT NULL AND email_verified IS NOT NULL AND
    created_at IS NOT NULL AND updated_at IS NOT NULL) NOT VALID;

ALTER TABLE public.user_sessions DROP CONSTRAINT user_sessions_defaults_not_null;
ALTER TABLE public.user_sessions ADD CONSTRAINT user_sessions_defaults_not_null
  CHECK (created_at IS NOT NULL AND last_used_at IS NOT NULL) NOT VALID;

ALTER TABLE public.organizations DROP CONSTRAINT organizations_defaults_not_null;
ALTER TABLE public.organizations ADD CONSTRAINT organizations_defaults_not_null
  CHECK (settings IS NOT NULL AND subscription_plan IS NOT NULL AND created_at IS NOT NULL AND
    updated_at IS NOT NULL) NOT VALID;

ALTER TABLE public.organization_members DROP CONSTRAINT organization_members_defaults_not_null;
ALTER TABLE public.organization_members ADD CONSTRAINT organization_members_defaults_not_null
  CHECK (joined_at IS NOT NULL) NOT VALID;

ALTER TABLE public.projects DROP CONSTRAINT projects_defaults_not_null;
ALTER TABLE public.projects ADD CONSTRAINT projects_defaults_not_null
  CHECK (configuration IS NOT NULL AND status IS NOT NULL AND visibility IS NOT NULL AND
    created_at IS NOT NULL AND updated_at IS NOT NULL) NOT VALID;

ALTER TABLE public.project_members DROP CONSTRAINT project_members_defaults_not_null;
ALTER TABLE public.project_members ADD CONSTRAINT project_members_defaults_not_null
  CHECK (added_at IS NOT NULL) NOT VALID;

ALTER TABLE analysis.analyses DROP CONSTRAINT analyses_defaults_not_null;
ALTER TABLE analysis.analyses ADD CONSTRAINT analyses_defaults_not_null
  CHECK (status IS NOT NULL AND progress IS NOT NULL AND configuration IS NOT NULL AND
    created_at IS NOT NULL) NOT VALID;

ALTER TABLE analysis.analysis_results DROP CONSTRAINT analysis_results_defaults_not_null;
ALTER TABLE analysis.analysis_results ADD CONSTRAINT analysis_results_defaults_not_null
  CHECK (metrics IS NOT NULL AND issues IS NOT NULL AND dependencies IS NOT NULL AND
    created_at IS NOT NULL) NOT VALID;

ALTER TABLE analysis.analysis_issues DROP CONSTRAINT analysis_issues_defaults_not_null;
ALTER TABLE analysis.analysis_issues ADD CONSTRAINT analysis_issues_defaults_not_null
  CHECK (status IS NOT NULL AND created_at IS NOT NULL) NOT VALID;

ALTER TABLE analysis.analysis_metrics DROP CONSTRAINT analysis_metrics_defaults_not_null;
ALTER TABLE analysis.analysis_metrics ADD CONSTRAINT analysis_metrics_defaults_not_null
  CHECK (created_at IS NOT NULL) NOT VALID;

ALTER TABLE analysis.dependency_graphs DROP CONSTRAINT dependency_graphs_defaults_not_null;
ALTER TABLE analysis.dependency_graphs ADD CONSTRAINT dependency_graphs_defaults_not_null
  CHECK (metadata IS NOT NULL AND created_at IS NOT NULL) NOT VALID;

ALTER TABLE analysis.duplicate_groups DROP CONSTRAINT duplicate_groups_defaults_not_null;
ALTER TABLE analysis.duplicate_groups ADD CONSTRAINT duplicate_groups_defaults_not_null
  CHECK (created_at IS NOT NULL) NOT VALID;

ALTER TABLE setup.setup_profiles DROP CONSTRAINT setup_profiles_defaults_not_null;
ALTER TABLE setup.setup_profiles ADD CONSTRAINT setup_profiles_defaults_not_null
  CHECK (templates IS NOT NULL AND prerequisites IS NOT NULL AND visibility IS NOT NULL AND
    is_featured IS NOT NULL AND created_at IS NOT NULL AND updated_at IS NOT NULL) NOT VALID;

ALTER TABLE setup.setup_sessions DROP CONSTRAINT setup_sessions_defaults_not_null;
ALTER TABLE setup.setup_sessions ADD CONSTRAINT setup_sessions_defaults_not_null
  CHECK (status IS NOT NULL AND progress IS NOT NULL AND configuration IS NOT NULL AND logs IS NOT NULL AND
    created_at IS NOT NULL) NOT VALID;

ALTER TABLE setup.setup_steps DROP CONSTRAINT setup_steps_defaults_not_null;
ALTER TABLE setup.setup_steps ADD CONSTRAINT setup_steps_defaults_not_null
  CHECK (status IS NOT NULL AND created_at IS NOT NULL) NOT VALID;

ALTER TABLE setup.tools DROP CONSTRAINT tools_defaults_not_null;
ALTER TABLE setup.tools ADD CONSTRAINT tools_defaults_not_null
  CHECK (supported_platforms IS NOT NULL AND metadata IS NOT NULL AND is_active IS NOT NULL AND
    created_at IS NOT NULL AND updated_at IS NOT NULL) NOT VALID;

ALTER TABLE setup.configurations DROP CONSTRAINT configurations_defaults_not_null;
ALTER TABLE setup.configurations ADD CONSTRAINT configurations_defaults_not_null
  CHECK (is_encrypted IS NOT NULL AND created_at IS NOT NULL AND updated_at IS NOT NULL) NOT VALID;

ALTER TABLE setup.integrations DROP CONSTRAINT integrations_defaults_not_null;
ALTER TABLE setup.integrations ADD CONSTRAINT integrations_defaults_not_null
  CHECK (is_enabled IS NOT NULL AND sync_status IS NOT NULL AND created_at IS NOT NULL AND
    updated_at IS NOT NULL) NOT VALID;

ALTER TABLE audit.audit_logs DROP CONSTRAINT audit_logs_defaults_not_null;
ALTER TABLE audit.audit_logs ADD CONSTRAINT audit_logs_defaults_not_null
  CHECK (metadata IS NOT NULL AND created_at IS NOT NULL) NOT VALID;

ALTER TABLE audit.system_logs DROP CONSTRAINT system_logs_defaults_not_null;
ALTER TABLE audit.system_logs ADD CONSTRAINT system_logs_defaults_not_null
  CHECK (created_at IS NOT NULL) NOT VALID;
