-- Last of three steps: the validated checks prove that there is no NULL, so that SET NOT NULL does
-- not scan. Then the checks are no longer needed.
SET LOCAL lock_timeout = '5s';

ALTER TABLE public.users
  ALTER COLUMN preferences SET NOT NULL,
  ALTER COLUMN is_active SET NOT NULL,
  ALTER COLUMN email_verified SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  ALTER COLUMN updated_at SET NOT NULL,
  DROP CONSTRAINT users_defaults_not_null;

ALTER TABLE public.user_sessions
  ALTER COLUMN created_at SET NOT NULL,
  ALTER COLUMN last_used_at SET NOT NULL,
  DROP CONSTRAINT user_sessions_defaults_not_null;

ALTER TABLE public.organizations
  ALTER COLUMN settings SET NOT NULL,
  ALTER COLUMN subscription_plan SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  ALTER COLUMN updated_at SET NOT NULL,
  DROP CONSTRAINT organizations_defaults_not_null;

ALTER TABLE public.organization_members
  ALTER COLUMN joined_at SET NOT NULL,
  DROP CONSTRAINT organization_members_defaults_not_null;

ALTER TABLE public.projects
  ALTER COLUMN configuration SET NOT NULL,
  ALTER COLUMN status SET NOT NULL,
  ALTER COLUMN visibility SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  ALTER COLUMN updated_at SET NOT NULL,
  DROP CONSTRAINT projects_defaults_not_null;

ALTER TABLE public.project_members
  ALTER COLUMN added_at SET NOT NULL,
  DROP CONSTRAINT project_members_defaults_not_null;

ALTER TABLE analysis.analyses
  ALTER COLUMN status SET NOT NULL,
  ALTER COLUMN progress SET NOT NULL,
  ALTER COLUMN configuration SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  DROP CONSTRAINT analyses_defaults_not_null;

ALTER TABLE analysis.analysis_results
  ALTER COLUMN metrics SET NOT NULL,
  ALTER COLUMN issues SET NOT NULL,
  ALTER COLUMN dependencies SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  DROP CONSTRAINT analysis_results_defaults_not_null;

ALTER TABLE analysis.analysis_issues
  ALTER COLUMN status SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  DROP CONSTRAINT analysis_issues_defaults_not_null;

ALTER TABLE analysis.analysis_metrics
  ALTER COLUMN created_at SET NOT NULL,
  DROP CONSTRAINT analysis_metrics_defaults_not_null;

ALTER TABLE analysis.dependency_graphs
  ALTER COLUMN metadata SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  DROP CONSTRAINT dependency_graphs_defaults_not_null;

ALTER TABLE analysis.duplicate_groups
  ALTER COLUMN created_at SET NOT NULL,
  DROP CONSTRAINT duplicate_groups_defaults_not_null;

ALTER TABLE setup.setup_profiles
  ALTER COLUMN templates SET NOT NULL,
  ALTER COLUMN prerequisites SET NOT NULL,
  ALTER COLUMN visibility SET NOT NULL,
  ALTER COLUMN is_featured SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  ALTER COLUMN updated_at SET NOT NULL,
  DROP CONSTRAINT setup_profiles_defaults_not_null;

ALTER TABLE setup.setup_sessions
  ALTER COLUMN status SET NOT NULL,
  ALTER COLUMN progress SET NOT NULL,
  ALTER COLUMN configuration SET NOT NULL,
  ALTER COLUMN logs SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  DROP CONSTRAINT setup_sessions_defaults_not_null;

ALTER TABLE setup.setup_steps
  ALTER COLUMN status SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  DROP CONSTRAINT setup_steps_defaults_not_null;

ALTER TABLE setup.tools
  ALTER COLUMN supported_platforms SET NOT NULL,
  ALTER COLUMN metadata SET NOT NULL,
  ALTER COLUMN is_active SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  ALTER COLUMN updated_at SET NOT NULL,
  DROP CONSTRAINT tools_defaults_not_null;

ALTER TABLE setup.configurations
  ALTER COLUMN is_encrypted SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  ALTER COLUMN updated_at SET NOT NULL,
  DROP CONSTRAINT configurations_defaults_not_null;

ALTER TABLE setup.integrations
  ALTER COLUMN is_enabled SET NOT NULL,
  ALTER COLUMN sync_status SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  ALTER COLUMN updated_at SET NOT NULL,
  DROP CONSTRAINT integrations_defaults_not_null;

ALTER TABLE audit.audit_logs
  ALTER COLUMN metadata SET NOT NULL,
  ALTER COLUMN created_at SET NOT NULL,
  DROP CONSTRAINT audit_logs_defaults_not_null;

ALTER TABLE audit.system_logs
  ALTER COLUMN created_at SET NOT NULL,
  DROP CONSTRAINT system_logs_defaults_not_null;
