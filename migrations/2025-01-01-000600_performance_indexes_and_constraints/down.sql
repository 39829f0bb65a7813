ALTER TABLE setup.configurations DROP CONSTRAINT unique_config_scope;
ALTER TABLE setup.setup_sessions DROP CONSTRAINT check_session_duration;
ALTER TABLE analysis.analyses DROP CONSTRAINT check_progress_status;

DROP INDEX analysis.idx_analysis_results_metrics;
DROP INDEX analysis.idx_analyses_results;
DROP INDEX public.idx_projects_configuration;
DROP INDEX public.idx_projects_active_updated;
DROP INDEX public.idx_users_active_email;
DROP INDEX public.idx_project_members_user_project;
DROP INDEX analysis.idx_analysis_issues_analysis_severity;
DROP INDEX analysis.idx_analyses_project_status_created;
