-- Reverts isolate.sql.

ALTER TABLE public.organizations DISABLE ROW LEVEL SECURITY;
ALTER TABLE public.organization_members DISABLE ROW LEVEL SECURITY;
ALTER TABLE public.organization_invitations DISABLE ROW LEVEL SECURITY;
ALTER TABLE public.projects DISABLE ROW LEVEL SECURITY;
ALTER TABLE public.project_members DISABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analyses DISABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_results DISABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_issues DISABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_metrics DISABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.dependency_graphs DISABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.duplicate_groups DISABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_leases DISABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_abandonments DISABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_pins DISABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_removals DISABLE ROW LEVEL SECURITY;
ALTER TABLE setup.setup_profiles DISABLE ROW LEVEL SECURITY;
ALTER TABLE setup.configurations DISABLE ROW LEVEL SECURITY;
ALTER TABLE setup.integrations DISABLE ROW LEVEL SECURITY;
ALTER TABLE audit.audit_logs DISABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS by_organization ON public.organizations;
DROP POLICY IF EXISTS by_organization ON public.organization_members;
DROP POLICY IF EXISTS by_organization ON public.organization_invitations;
DROP POLICY IF EXISTS by_organization ON public.projects;
DROP POLICY IF EXISTS by_organization ON public.project_members;
DROP POLICY IF EXISTS by_organization ON analysis.analyses;
DROP POLICY IF EXISTS by_organization ON analysis.dependency_graphs;
DROP POLICY IF EXISTS by_organization ON analysis.analysis_results;
DROP POLICY IF EXISTS by_organization ON analysis.analysis_issues;
DROP POLICY IF EXISTS by_organization ON analysis.analysis_metrics;
DROP POLICY IF EXISTS by_organization ON analysis.duplicate_groups;
DROP POLICY IF EXISTS by_organization ON analysis.analysis_leases;
DROP POLICY IF EXISTS by_organization ON analysis.analysis_abandonments;
DROP POLICY IF EXISTS by_organization ON analysis.analysis_pins;
DROP POLICY IF EXISTS by_organization ON analysis.analysis_removals;
DROP POLICY IF EXISTS by_organization ON setup.setup_profiles;
DROP POLICY IF EXISTS by_organization ON setup.configurations;
DROP POLICY IF EXISTS by_organization ON setup.integrations;
DROP POLICY IF EXISTS of_the_platform ON setup.setup_profiles;
DROP POLICY IF EXISTS of_the_platform ON setup.configurations;
DROP POLICY IF EXISTS by_organization ON audit.audit_logs;
DROP POLICY IF EXISTS of_logins ON audit.audit_logs;

DROP FUNCTION IF EXISTS analysis.is_visible_project(uuid);
DROP FUNCTION IF EXISTS analysis.is_visible_analysis(uuid);
