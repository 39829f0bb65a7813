-- The design's "Indexes and Constraints", as written.

-- Composite indexes for common queries
CREATE INDEX idx_analyses_project_status_created ON analysis.analyses (project_id, status, created_at DESC);
CREATE INDEX idx_analysis_issues_analysis_severity ON analysis.analysis_issues (analysis_id, severity);
CREATE INDEX idx_project_members_user_project ON public.project_members (user_id, project_id);

-- Partial indexes for active records
CREATE INDEX idx_users_active_email ON public.users (email) WHERE is_active = TRUE;
CREATE INDEX idx_projects_active_updated ON public.projects (updated_at DESC) WHERE status = 'active';

-- GIN indexes for JSONB columns
CREATE INDEX idx_projects_configuration ON public.projects USING GIN (configuration);
CREATE INDEX idx_analyses_results ON analysis.analyses USING GIN (results);
CREATE INDEX idx_analysis_results_metrics ON analysis.analysis_results USING GIN (metrics);

-- Analysis constraints
ALTER TABLE analysis.analyses ADD CONSTRAINT check_progress_status
  CHECK ((status = 'completed' AND progress = 100) OR status != 'completed');

-- Session duration constraints
ALTER TABLE setup.setup_sessions ADD CONSTRAINT check_session_duration
  CHECK ((completed_at IS NULL AND duration_seconds IS NULL) OR
         (completed_at IS NOT NULL AND started_at IS NOT NULL));

-- Configuration scope constraints
ALTER TABLE setup.configurations ADD CONSTRAINT unique_config_scope
  UNIQUE (organization_id, project_id, category, name);
