-- The design's setup and configuration tables.
-- As written in the design, with two changes: enum types come before the tables that use them,
-- since the design's order fails, and every name is schema-qualified.
CREATE SCHEMA IF NOT EXISTS setup;

CREATE TYPE setup.setup_category AS ENUM (
  'frontend',
  'backend',
  'fullstack',
  'mobile',
  'devops',
  'data_science',
  'machine_learning',
  'custom'
);

CREATE TYPE setup.profile_visibility AS ENUM (
  'private',
  'organization',
  'public'
);

CREATE TYPE setup.session_status AS ENUM (
  'pending',
  'running',
  'completed',
  'failed',
  'cancelled'
);

CREATE TYPE setup.step_status AS ENUM (
  'pending',
  'running',
  'completed',
  'failed',
  'skipped'
);

CREATE TYPE setup.tool_category AS ENUM (
  'runtime',
  'package_manager',
  'editor',
  'version_control',
  'build_tool',
  'testing',
  'linting',
  'documentation',
  'deployment',
  'database',
  'monitoring'
);

CREATE TYPE setup.platform AS ENUM (
  'macos',
  'linux',
  'windows',
  'docker'
);

CREATE TYPE setup.config_scope AS ENUM (
  'global',
  'organization',
  'project'
);

CREATE TYPE setup.config_category AS ENUM (
  'general',
  'analysis',
  'setup',
  'integrations',
  'security',
  'notifications'
);

CREATE TYPE setup.integration_type AS ENUM (
  'github',
  'gitlab',
  'bitbucket',
  'jira',
  'slack',
  'microsoft_teams',
  'discord',
  'webhook',
  'email'
);

CREATE TYPE setup.sync_status AS ENUM (
  'never',
  'success',
  'failed',
  'in_progress'
);

CREATE TABLE setup.setup_profiles (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  name VARCHAR(255) NOT NULL,
  description TEXT,
  category setup.setup_category NOT NULL,
  configuration JSONB NOT NULL DEFAULT '{}',
  tools JSONB NOT NULL DEFAULT '[]',
  templates JSONB DEFAULT '[]',
  prerequisites JSONB DEFAULT '[]',
  estimated_duration INTEGER, -- minutes
  visibility setup.profile_visibility DEFAULT 'private',
  is_featured BOOLEAN DEFAULT FALSE,
  created_by UUID NOT NULL REFERENCES public.users(id),
  organization_id UUID REFERENCES public.organizations(id),
  created_at TIMESTAMPTZ DEFAULT NOW(),
  updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_setup_profiles_category ON setup.setup_profiles (category);
CREATE INDEX idx_setup_profiles_visibility ON setup.setup_profiles (visibility);
CREATE INDEX idx_setup_profiles_created_by ON setup.setup_profiles (created_by);
CREATE INDEX idx_setup_profiles_org_id ON setup.setup_profiles (organization_id);

CREATE TABLE setup.setup_sessions (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  profile_id UUID NOT NULL REFERENCES setup.setup_profiles(id),
  user_id UUID NOT NULL REFERENCES public.users(id),
  status setup.session_status DEFAULT 'pending',
  progress INTEGER DEFAULT 0 CHECK (progress >= 0 AND progress <= 100),
  current_step VARCHAR(255),
  configuration JSONB DEFAULT '{}',
  logs JSONB DEFAULT '[]',
  error_message TEXT,
  started_at TIMESTAMPTZ,
  completed_at TIMESTAMPTZ,
  duration_seconds INTEGER,
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_setup_sessions_profile_id ON setup.setup_sessions (profile_id);
CREATE INDEX idx_setup_sessions_user_id ON setup.setup_sessions (user_id);
CREATE INDEX idx_setup_sessions_status ON setup.setup_sessions (status);
CREATE INDEX idx_setup_sessions_created_at ON setup.setup_sessions (created_at);

CREATE TABLE setup.setup_steps (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id UUID NOT NULL REFERENCES setup.setup_sessions(id) ON DELETE CASCADE,
  name VARCHAR(255) NOT NULL,
  description TEXT,
  step_order INTEGER NOT NULL,
  tool_name VARCHAR(255),
  command TEXT,
  status setup.step_status DEFAULT 'pending',
  logs TEXT,
  error_message TEXT,
  started_at TIMESTAMPTZ,
  completed_at TIMESTAMPTZ,
  duration_seconds INTEGER,
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_setup_steps_session_id ON setup.setup_steps (session_id);
CREATE INDEX idx_setup_steps_status ON setup.setup_steps (status);
CREATE INDEX idx_setup_steps_order ON setup.setup_steps (step_order);

CREATE TABLE setup.tools (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  name VARCHAR(255) NOT NULL,
  version VARCHAR(100),
  category setup.tool_category NOT NULL,
  description TEXT,
  install_command TEXT,
  verify_command TEXT,
  configuration_schema JSONB,
  supported_platforms setup.platform[] DEFAULT '{}',
  dependencies TEXT[], -- tool names
  metadata JSONB DEFAULT '{}',
  is_active BOOLEAN DEFAULT TRUE,
  created_at TIMESTAMPTZ DEFAULT NOW(),
  updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_tools_name ON setup.tools (name);
CREATE INDEX idx_tools_category ON setup.tools (category);
CREATE INDEX idx_tools_platforms ON setup.tools USING GIN (supported_platforms);

CREATE TABLE setup.configurations (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id UUID REFERENCES public.organizations(id) ON DELETE CASCADE,
  project_id UUID REFERENCES public.projects(id) ON DELETE CASCADE,
  scope setup.config_scope NOT NULL,
  category setup.config_category NOT NULL,
  name VARCHAR(255) NOT NULL,
  value JSONB NOT NULL,
  description TEXT,
  is_encrypted BOOLEAN DEFAULT FALSE,
  created_by UUID NOT NULL REFERENCES public.users(id),
  created_at TIMESTAMPTZ DEFAULT NOW(),
  updated_at TIMESTAMPTZ DEFAULT NOW(),

  CONSTRAINT config_scope_check CHECK (
    (scope = 'global' AND organization_id IS NULL AND project_id IS NULL) OR
    (scope = 'organization' AND organization_id IS NOT NULL AND project_id IS NULL) OR
    (scope = 'project' AND project_id IS NOT NULL)
  )
);

CREATE INDEX idx_configurations_scope ON setup.configurations (scope);
CREATE INDEX idx_configurations_category ON setup.configurations (category);
CREATE INDEX idx_configurations_org_id ON setup.configurations (organization_id);
CREATE INDEX idx_configurations_project_id ON setup.configurations (project_id);

CREATE TABLE setup.integrations (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id UUID REFERENCES public.organizations(id) ON DELETE CASCADE,
  project_id UUID REFERENCES public.projects(id) ON DELETE CASCADE,
  type setup.integration_type NOT NULL,
  name VARCHAR(255) NOT NULL,
  configuration JSONB NOT NULL DEFAULT '{}',
  credentials JSONB, -- encrypted
  webhook_url TEXT,
  webhook_secret VARCHAR(255),
  is_enabled BOOLEAN DEFAULT TRUE,
  last_sync_at TIMESTAMPTZ,
  sync_status setup.sync_status DEFAULT 'never',
  created_by UUID NOT NULL REFERENCES public.users(id),
  created_at TIMESTAMPTZ DEFAULT NOW(),
  updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_integrations_org_id ON setup.integrations (organization_id);
CREATE INDEX idx_integrations_project_id ON setup.integrations (project_id);
CREATE INDEX idx_integrations_type ON setup.integrations (type);
CREATE INDEX idx_integrations_enabled ON setup.integrations (is_enabled);
