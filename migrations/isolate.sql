-- Row-level security by organization. A role that is not the owner sees and writes only rows of the
-- organization that the setting `wundr.organization` names for the current transaction, and none
-- without it.
-- Tables that belong to no organization are not isolated: users, user sessions, setup sessions and
-- steps, tools, and the system log.
--
-- A row that belongs to a project or an analysis is visible if that one is, by its own policy. The
-- subqueries are scalar: EXISTS would be hashed, and read all analyses of the organization for each
-- statement.

CREATE POLICY by_organization ON public.organizations
  USING (id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid));
CREATE POLICY by_organization ON public.organization_members
  USING (organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid));
CREATE POLICY by_organization ON public.projects
  USING (organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid));
CREATE POLICY by_organization ON public.project_members
  USING ((SELECT true FROM public.projects AS p WHERE p.id = project_id));

CREATE POLICY by_organization ON analysis.analyses
  USING ((SELECT true FROM public.projects AS p WHERE p.id = project_id));
CREATE POLICY by_organization ON analysis.dependency_graphs
  USING ((SELECT true FROM public.projects AS p WHERE p.id = project_id))
  WITH CHECK ((SELECT true FROM public.projects AS p WHERE p.id = project_id)
    AND (analysis_id IS NULL OR (SELECT true FROM analysis.analyses AS a WHERE a.id = analysis_id)));
CREATE POLICY by_organization ON analysis.analysis_results
  USING ((SELECT true FROM analysis.analyses AS a WHERE a.id = analysis_id));
CREATE POLICY by_organization ON analysis.analysis_issues
  USING ((SELECT true FROM analysis.analyses AS a WHERE a.id = analysis_id));
CREATE POLICY by_organization ON analysis.analysis_metrics
  USING ((SELECT true FROM analysis.analyses AS a WHERE a.id = analysis_id));
CREATE POLICY by_organization ON analysis.duplicate_groups
  USING ((SELECT true FROM analysis.analyses AS a WHERE a.id = analysis_id));
CREATE POLICY by_organization ON analysis.analysis_leases
  USING ((SELECT true FROM analysis.analyses AS a WHERE a.id = analysis_id));
CREATE POLICY by_organization ON analysis.analysis_abandonments
  USING ((SELECT true FROM analysis.analyses AS a WHERE a.id = analysis_id));
CREATE POLICY by_organization ON analysis.analysis_pins
  USING ((SELECT true FROM analysis.analyses AS a WHERE a.id = analysis_id));
CREATE POLICY by_organization ON analysis.analysis_removals
  USING ((SELECT true FROM analysis.analyses AS a WHERE a.id = analysis_id));

CREATE POLICY by_organization ON setup.setup_profiles
  USING (organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid));
CREATE POLICY by_organization ON setup.configurations
  USING (CASE scope
    WHEN 'organization'::setup.config_scope THEN organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid)
    WHEN 'project'::setup.config_scope
      THEN (SELECT true FROM public.projects AS p WHERE p.id = project_id)
        AND COALESCE(organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid), true)
    ELSE false END);
CREATE POLICY by_organization ON setup.integrations
  USING (CASE WHEN project_id IS NULL THEN organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid)
    ELSE (SELECT true FROM public.projects AS p WHERE p.id = project_id)
      AND COALESCE(organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid), true) END);
-- What is the platform's is read by every organization, and written by none.
CREATE POLICY of_the_platform ON setup.setup_profiles FOR SELECT
  USING (organization_id IS NULL AND visibility = 'public'::setup.profile_visibility
    AND (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid) IS NOT NULL);
CREATE POLICY of_the_platform ON setup.configurations FOR SELECT
  USING (scope = 'global'::setup.config_scope AND (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid) IS NOT NULL);

CREATE POLICY by_organization ON audit.audit_logs
  USING (organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid));

ALTER TABLE public.organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.organization_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.projects ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.project_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analyses ENABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_issues ENABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_metrics ENABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.dependency_graphs ENABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.duplicate_groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_abandonments ENABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_pins ENABLE ROW LEVEL SECURITY;
ALTER TABLE analysis.analysis_removals ENABLE ROW LEVEL SECURITY;
ALTER TABLE setup.setup_profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE setup.configurations ENABLE ROW LEVEL SECURITY;
ALTER TABLE setup.integrations ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.audit_logs ENABLE ROW LEVEL SECURITY;
