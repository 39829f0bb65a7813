-- The design's core tables: users, organizations, projects and their members.
-- As written in the design, with two changes: enum types come before the tables that use them,
-- since the design's order fails, and every name is schema-qualified.

CREATE TYPE public.user_role AS ENUM (
  'admin',
  'manager',
  'developer',
  'viewer'
);

CREATE TYPE public.subscription_plan AS ENUM (
  'free',
  'professional',
  'enterprise'
);

CREATE TYPE public.organization_role AS ENUM (
  'owner',
  'admin',
  'member',
  'viewer'
);

CREATE TYPE public.repository_provider AS ENUM (
  'github',
  'gitlab',
  'bitbucket',
  'azure_devops',
  'local'
);

CREATE TYPE public.project_status AS ENUM (
  'active',
  'archived',
  'deleted'
);

CREATE TYPE public.project_visibility AS ENUM (
  'private',
  'internal',
  'public'
);

CREATE TYPE public.project_role AS ENUM (
  'owner',
  'maintainer',
  'contributor',
  'viewer'
);

CREATE TABLE public.users (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  email VARCHAR(255) UNIQUE NOT NULL,
  name VARCHAR(255) NOT NULL,
  role public.user_role NOT NULL DEFAULT 'developer',
  avatar_url TEXT,
  github_username VARCHAR(255),
  preferences JSONB DEFAULT '{}',
  is_active BOOLEAN DEFAULT TRUE,
  email_verified BOOLEAN DEFAULT FALSE,
  last_login_at TIMESTAMPTZ,
  created_at TIMESTAMPTZ DEFAULT NOW(),
  updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_users_email ON public.users (email);
CREATE INDEX idx_users_role ON public.users (role);
CREATE INDEX idx_users_active ON public.users (is_active);

CREATE TABLE public.user_sessions (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id UUID NOT NULL REFERENCES public.users(id) ON DELETE CASCADE,
  token_hash VARCHAR(255) NOT NULL,
  refresh_token_hash VARCHAR(255),
  expires_at TIMESTAMPTZ NOT NULL,
  created_at TIMESTAMPTZ DEFAULT NOW(),
  last_used_at TIMESTAMPTZ DEFAULT NOW(),
  user_agent TEXT,
  ip_address INET
);

CREATE INDEX idx_user_sessions_user_id ON public.user_sessions (user_id);
CREATE INDEX idx_user_sessions_token ON public.user_sessions (token_hash);
CREATE INDEX idx_user_sessions_expires ON public.user_sessions (expires_at);

CREATE TABLE public.organizations (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  name VARCHAR(255) NOT NULL,
  slug VARCHAR(100) UNIQUE NOT NULL,
  description TEXT,
  settings JSONB DEFAULT '{}',
  subscription_plan public.subscription_plan DEFAULT 'free',
  created_at TIMESTAMPTZ DEFAULT NOW(),
  updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_organizations_slug ON public.organizations (slug);

CREATE TABLE public.organization_members (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id UUID NOT NULL REFERENCES public.organizations(id) ON DELETE CASCADE,
  user_id UUID NOT NULL REFERENCES public.users(id) ON DELETE CASCADE,
  role public.organization_role NOT NULL,
  joined_at TIMESTAMPTZ DEFAULT NOW(),
  invited_by UUID REFERENCES public.users(id),

  UNIQUE(organization_id, user_id)
);

CREATE INDEX idx_org_members_org_id ON public.organization_members (organization_id);
CREATE INDEX idx_org_members_user_id ON public.organization_members (user_id);

CREATE TABLE public.projects (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id UUID REFERENCES public.organizations(id) ON DELETE CASCADE,
  name VARCHAR(255) NOT NULL,
  description TEXT,
  repository_url TEXT,
  repository_provider public.repository_provider,
  repository_data JSONB,
  configuration JSONB DEFAULT '{}',
  status public.project_status DEFAULT 'active',
  visibility public.project_visibility DEFAULT 'private',
  created_by UUID NOT NULL REFERENCES public.users(id),
  created_at TIMESTAMPTZ DEFAULT NOW(),
  updated_at TIMESTAMPTZ DEFAULT NOW(),
  last_analyzed_at TIMESTAMPTZ,

  CONSTRAINT valid_repo_url CHECK (repository_url IS NULL OR repository_url ~* '^https?://')
);

CREATE INDEX idx_projects_org_id ON public.projects (organization_id);
CREATE INDEX idx_projects_created_by ON public.projects (created_by);
CREATE INDEX idx_projects_status ON public.projects (status);
CREATE INDEX idx_projects_updated_at ON public.projects (updated_at);

CREATE TABLE public.project_members (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  project_id UUID NOT NULL REFERENCES public.projects(id) ON DELETE CASCADE,
  user_id UUID NOT NULL REFERENCES public.users(id) ON DELETE CASCADE,
  role public.project_role NOT NULL,
  added_at TIMESTAMPTZ DEFAULT NOW(),
  added_by UUID REFERENCES public.users(id),

  UNIQUE(project_id, user_id)
);

CREATE INDEX idx_project_members_project_id ON public.project_members (project_id);
CREATE INDEX idx_project_members_user_id ON public.project_members (user_id);
