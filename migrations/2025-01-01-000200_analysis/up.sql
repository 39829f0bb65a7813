-- The design's analysis tables: runs and their findings.
-- As written in the design, with two changes: enum types come before the tables that use them,
-- since the design's order fails, and every name is schema-qualified.
CREATE SCHEMA IF NOT EXISTS analysis;

CREATE TYPE analysis.analysis_type AS ENUM (
  'quality',
  'security',
  'dependencies',
  'duplicates',
  'complexity',
  'performance',
  'architecture'
);

CREATE TYPE analysis.analysis_status AS ENUM (
  'pending',
  'running',
  'completed',
  'failed',
  'cancelled'
);

CREATE TYPE analysis.issue_type AS ENUM (
  'code_quality',
  'security',
  'performance',
  'maintainability',
  'accessibility',
  'best_practice',
  'duplicate_code',
  'dependency'
);

CREATE TYPE analysis.issue_severity AS ENUM (
  'critical',
  'high',
  'medium',
  'low',
  'info'
);

CREATE TYPE analysis.issue_status AS ENUM (
  'open',
  'resolved',
  'ignored',
  'false_positive'
);

CREATE TYPE analysis.metric_category AS ENUM (
  'quality',
  'performance',
  'security',
  'maintainability',
  'complexity',
  'coverage'
);

CREATE TYPE analysis.trend_direction AS ENUM (
  'improving',
  'declining',
  'stable'
);

CREATE TABLE analysis.analyses (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  project_id UUID NOT NULL REFERENCES public.projects(id) ON DELETE CASCADE,
  type analysis.analysis_type NOT NULL,
  status analysis.analysis_status DEFAULT 'pending',
  progress INTEGER DEFAULT 0 CHECK (progress >= 0 AND progress <= 100),
  configuration JSONB DEFAULT '{}',
  results JSONB,
  summary JSONB,
  error_message TEXT,
  started_at TIMESTAMPTZ,
  completed_at TIMESTAMPTZ,
  duration_seconds INTEGER,
  created_by UUID NOT NULL REFERENCES public.users(id),
  created_at TIMESTAMPTZ DEFAULT NOW(),

  CONSTRAINT valid_duration CHECK (
    (completed_at IS NULL AND duration_seconds IS NULL) OR
    (completed_at IS NOT NULL AND started_at IS NOT NULL AND duration_seconds > 0)
  )
);

CREATE INDEX idx_analyses_project_id ON analysis.analyses (project_id);
CREATE INDEX idx_analyses_type ON analysis.analyses (type);
CREATE INDEX idx_analyses_status ON analysis.analyses (status);
CREATE INDEX idx_analyses_created_at ON analysis.analyses (created_at);
CREATE INDEX idx_analyses_completed_at ON analysis.analyses (completed_at);

CREATE TABLE analysis.analysis_results (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  analysis_id UUID NOT NULL REFERENCES analysis.analyses(id) ON DELETE CASCADE,
  file_path TEXT NOT NULL,
  file_hash VARCHAR(64),
  metrics JSONB DEFAULT '{}',
  issues JSONB DEFAULT '[]',
  dependencies JSONB DEFAULT '[]',
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_analysis_results_analysis_id ON analysis.analysis_results (analysis_id);
CREATE INDEX idx_analysis_results_file_path ON analysis.analysis_results (file_path);
CREATE INDEX idx_analysis_results_file_hash ON analysis.analysis_results (file_hash);

CREATE TABLE analysis.analysis_issues (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  analysis_id UUID NOT NULL REFERENCES analysis.analyses(id) ON DELETE CASCADE,
  type analysis.issue_type NOT NULL,
  severity analysis.issue_severity NOT NULL,
  rule_id VARCHAR(255),
  title VARCHAR(500) NOT NULL,
  description TEXT,
  file_path TEXT NOT NULL,
  line_number INTEGER,
  column_number INTEGER,
  end_line_number INTEGER,
  end_column_number INTEGER,
  code_snippet TEXT,
  fix_suggestion TEXT,
  estimated_fix_time INTEGER, -- minutes
  status analysis.issue_status DEFAULT 'open',
  resolved_at TIMESTAMPTZ,
  resolved_by UUID REFERENCES public.users(id),
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_analysis_issues_analysis_id ON analysis.analysis_issues (analysis_id);
CREATE INDEX idx_analysis_issues_severity ON analysis.analysis_issues (severity);
CREATE INDEX idx_analysis_issues_type ON analysis.analysis_issues (type);
CREATE INDEX idx_analysis_issues_status ON analysis.analysis_issues (status);
CREATE INDEX idx_analysis_issues_file_path ON analysis.analysis_issues (file_path);

CREATE TABLE analysis.analysis_metrics (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  analysis_id UUID NOT NULL REFERENCES analysis.analyses(id) ON DELETE CASCADE,
  metric_name VARCHAR(255) NOT NULL,
  metric_value DECIMAL(12,4),
  metric_unit VARCHAR(50),
  category analysis.metric_category NOT NULL,
  description TEXT,
  trend_direction analysis.trend_direction,
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_analysis_metrics_analysis_id ON analysis.analysis_metrics (analysis_id);
CREATE INDEX idx_analysis_metrics_name ON analysis.analysis_metrics (metric_name);
CREATE INDEX idx_analysis_metrics_category ON analysis.analysis_metrics (category);

CREATE TABLE analysis.dependency_graphs (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  project_id UUID NOT NULL REFERENCES public.projects(id) ON DELETE CASCADE,
  analysis_id UUID REFERENCES analysis.analyses(id) ON DELETE SET NULL,
  graph_data JSONB NOT NULL,
  metadata JSONB DEFAULT '{}',
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_dependency_graphs_project_id ON analysis.dependency_graphs (project_id);
CREATE INDEX idx_dependency_graphs_analysis_id ON analysis.dependency_graphs (analysis_id);

CREATE TABLE analysis.duplicate_groups (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  analysis_id UUID NOT NULL REFERENCES analysis.analyses(id) ON DELETE CASCADE,
  hash VARCHAR(64) NOT NULL,
  similarity_percentage DECIMAL(5,2) NOT NULL CHECK (similarity_percentage >= 0 AND similarity_percentage <= 100),
  total_lines INTEGER NOT NULL,
  files JSONB NOT NULL, -- array of file paths and line ranges
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_duplicate_groups_analysis_id ON analysis.duplicate_groups (analysis_id);
CREATE INDEX idx_duplicate_groups_hash ON analysis.duplicate_groups (hash);
CREATE INDEX idx_duplicate_groups_similarity ON analysis.duplicate_groups (similarity_percentage);
