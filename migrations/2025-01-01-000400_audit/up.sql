-- The design's log tables.
-- As written in the design, with two changes: enum types come before the tables that use them,
-- since the design's order fails, and every name is schema-qualified.
CREATE SCHEMA IF NOT EXISTS audit;

CREATE TYPE audit.audit_action AS ENUM (
  'create',
  'read',
  'update',
  'delete',
  'login',
  'logout',
  'invite',
  'accept',
  'reject'
);

CREATE TYPE audit.log_level AS ENUM (
  'debug',
  'info',
  'warn',
  'error',
  'fatal'
);

CREATE TABLE audit.audit_logs (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id UUID REFERENCES public.users(id),
  organization_id UUID REFERENCES public.organizations(id),
  action audit.audit_action NOT NULL,
  resource_type VARCHAR(100) NOT NULL,
  resource_id UUID,
  old_values JSONB,
  new_values JSONB,
  metadata JSONB DEFAULT '{}',
  ip_address INET,
  user_agent TEXT,
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_audit_logs_user_id ON audit.audit_logs (user_id);
CREATE INDEX idx_audit_logs_org_id ON audit.audit_logs (organization_id);
CREATE INDEX idx_audit_logs_action ON audit.audit_logs (action);
CREATE INDEX idx_audit_logs_resource ON audit.audit_logs (resource_type, resource_id);
CREATE INDEX idx_audit_logs_created_at ON audit.audit_logs (created_at);

CREATE TABLE audit.system_logs (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  level audit.log_level NOT NULL,
  service VARCHAR(100) NOT NULL,
  component VARCHAR(100),
  message TEXT NOT NULL,
  data JSONB,
  correlation_id UUID,
  request_id UUID,
  user_id UUID REFERENCES public.users(id),
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_system_logs_level ON audit.system_logs (level);
CREATE INDEX idx_system_logs_service ON audit.system_logs (service);
CREATE INDEX idx_system_logs_correlation_id ON audit.system_logs (correlation_id);
CREATE INDEX idx_system_logs_created_at ON audit.system_logs (created_at);
