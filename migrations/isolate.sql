-- Row-level security by organization. A role that is not the owner sees and writes only rows of the
-- organization that the setting `wundr.organization` names for the current transaction, and none
-- without it.
-- Tables that belong to no organization are not isolated: users, user sessions, setup sessions and
-- steps, tools, and the system log.
--
-- A row that belongs to a project or an analysis is visible if that one is, by its own policy.
-- Functions find that out, for the sake of the plans: with a subquery in the policy, each row seems
-- to be so dear that the server makes a new plan for each execution of a prepared statement, which
-- takes longer than a page of 100 rows. They run with the rights of the caller and, being stable,
-- with the snapshot of the statement.
--
-- Most statements read many rows of one project or analysis. The one that was found visible last is
-- therefore kept in a setting, with the organization and the time of the statement. It is compared
-- before the function is called, which takes a quarter of the time. The setting ends with the
-- transaction and is valid for the statement that made it, which sees one snapshot. A role that
-- sets it by hand could set wundr.organization as well.

CREATE FUNCTION analysis.is_visible_project(uuid) RETURNS boolean
LANGUAGE plpgsql STABLE COST 1 AS $$
BEGIN
  RETURN (
    SELECT pg_catalog.set_config('wundr.visible_project',
      pg_catalog.concat(pg_catalog.current_setting('wundr.organization', true),
        ' ', pg_catalog.statement_timestamp(), ' ', p.id), true) IS NOT NULL
    FROM public.projects AS p
    WHERE p.id OPERATOR(pg_catalog.=) $1
  );
END
$$;

CREATE FUNCTION analysis.is_visible_analysis(uuid) RETURNS boolean
LANGUAGE plpgsql STABLE COST 1 AS $$
BEGIN
  RETURN (
    SELECT pg_catalog.set_config('wundr.visible_analysis',
      pg_catalog.concat(pg_catalog.current_setting('wundr.organization', true),
        ' ', pg_catalog.statement_timestamp(), ' ', a.id), true) IS NOT NULL
    FROM analysis.analyses AS a
    WHERE a.id OPERATOR(pg_catalog.=) $1
  );
END
$$;

CREATE POLICY by_organization ON public.organizations
  USING (id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid));
CREATE POLICY by_organization ON public.organization_members
  USING (organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid));
CREATE POLICY by_organization ON public.organization_invitations
  USING (organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid));
CREATE POLICY by_organization ON public.projects
  USING (organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid));

CREATE POLICY by_organization ON analysis.dependency_graphs
  USING (analysis.is_visible_project(project_id))
  WITH CHECK (analysis.is_visible_project(project_id)
    AND (analysis_id IS NULL OR analysis.is_visible_analysis(analysis_id)));

DO $$
DECLARE
  owned RECORD;
  of_project CONSTANT TEXT := 'project';
  of_analysis CONSTANT TEXT := 'analysis';
BEGIN
  FOR owned IN
    SELECT * FROM (VALUES
      ('public.project_members', of_project),
      ('analysis.analyses', of_project),
      ('analysis.analysis_results', of_analysis),
      ('analysis.analysis_issues', of_analysis),
      ('analysis.analysis_metrics', of_analysis),
      ('analysis.duplicate_groups', of_analysis),
      ('analysis.analysis_leases', of_analysis),
      ('analysis.analysis_abandonments', of_analysis),
      ('analysis.analysis_pins', of_analysis),
      ('analysis.analysis_removals', of_analysis)
    ) AS t (name, owner)
  LOOP
    -- The subquery of the statement's time is evaluated once for each statement.
    EXECUTE pg_catalog.format($policy$
      CREATE POLICY by_organization ON %1$s
        USING (CASE
          WHEN pg_catalog.current_setting('wundr.visible_%2$s', true)
              = (SELECT pg_catalog.concat(pg_catalog.current_setting('wundr.organization', true),
                  ' ', pg_catalog.statement_timestamp(), ' ')) || %2$s_id::pg_catalog.text
            THEN true
          ELSE analysis.is_visible_%2$s(%2$s_id)
        END)
    $policy$, owned.name, owned.owner);
  END LOOP;
END
$$;

CREATE POLICY by_organization ON setup.setup_profiles
  USING (organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid));
CREATE POLICY by_organization ON setup.configurations
  USING (CASE scope
    WHEN 'organization'::setup.config_scope THEN organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid)
    WHEN 'project'::setup.config_scope
      THEN analysis.is_visible_project(project_id)
        AND COALESCE(organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid), true)
    ELSE false END);
CREATE POLICY by_organization ON setup.integrations
  USING (CASE WHEN project_id IS NULL THEN organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid)
    ELSE analysis.is_visible_project(project_id)
      AND COALESCE(organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid), true) END);
-- What is the platform's is read by every organization, and written by none.
CREATE POLICY of_the_platform ON setup.setup_profiles FOR SELECT
  USING (organization_id IS NULL AND visibility = 'public'::setup.profile_visibility
    AND (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid) IS NOT NULL);
CREATE POLICY of_the_platform ON setup.configurations FOR SELECT
  USING (scope = 'global'::setup.config_scope AND (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid) IS NOT NULL);

CREATE POLICY by_organization ON audit.audit_logs
  USING (organization_id = (SELECT NULLIF(pg_catalog.current_setting('wundr.organization', true), '')::pg_catalog.uuid));
-- A login belongs to a user and to no organization. Every organization records it, and none reads
-- it.
CREATE POLICY of_logins ON audit.audit_logs FOR INSERT
  WITH CHECK (organization_id IS NULL AND resource_type IN ('user', 'user_session')
    AND action IN ('login'::audit.audit_action, 'logout'::audit.audit_action, 'reject'::audit.audit_action));

ALTER TABLE public.organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.organization_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.organization_invitations ENABLE ROW LEVEL SECURITY;
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
