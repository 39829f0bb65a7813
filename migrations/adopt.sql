-- Moves a database that was built from the design's own SQL, with everything in schema public, into
-- the five schemas. Afterwards it is as the first layer of migrations (2025-01-01) leaves it, with
-- its data, and the second layer can run. This runs in one transaction; a missing table or type
-- fails all of it. It is not a migration: diesel reads directories only.
SET LOCAL lock_timeout = '5s';

CREATE SCHEMA IF NOT EXISTS analysis;
CREATE SCHEMA IF NOT EXISTS setup;
CREATE SCHEMA IF NOT EXISTS audit;
CREATE SCHEMA IF NOT EXISTS cache;

-- Roles with USAGE on public get it on the four other schemas. Without it, an application whose
-- role does not own the tables would lose access to those that move, whatever rights it has on
-- them.
DO $$
DECLARE
  grantee TEXT;
BEGIN
  FOR grantee IN
    SELECT CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
    FROM pg_namespace n, aclexplode(n.nspacl) acl
    WHERE n.nspname = 'public' AND acl.privilege_type = 'USAGE'
  LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA analysis, setup, audit, cache TO %s', grantee);
  END LOOP;
END
$$;

ALTER TYPE public.analysis_type SET SCHEMA analysis;
ALTER TYPE public.analysis_status SET SCHEMA analysis;
ALTER TYPE public.issue_type SET SCHEMA analysis;
ALTER TYPE public.issue_severity SET SCHEMA analysis;
ALTER TYPE public.issue_status SET SCHEMA analysis;
ALTER TYPE public.metric_category SET SCHEMA analysis;
ALTER TYPE public.trend_direction SET SCHEMA analysis;

ALTER TABLE public.analyses SET SCHEMA analysis;
ALTER TABLE public.analysis_results SET SCHEMA analysis;
ALTER TABLE public.analysis_issues SET SCHEMA analysis;
ALTER TABLE public.analysis_metrics SET SCHEMA analysis;
ALTER TABLE public.dependency_graphs SET SCHEMA analysis;
ALTER TABLE public.duplicate_groups SET SCHEMA analysis;

ALTER TYPE public.setup_category SET SCHEMA setup;
ALTER TYPE public.profile_visibility SET SCHEMA setup;
ALTER TYPE public.session_status SET SCHEMA setup;
ALTER TYPE public.step_status SET SCHEMA setup;
ALTER TYPE public.tool_category SET SCHEMA setup;
ALTER TYPE public.platform SET SCHEMA setup;
ALTER TYPE public.config_scope SET SCHEMA setup;
ALTER TYPE public.config_category SET SCHEMA setup;
ALTER TYPE public.integration_type SET SCHEMA setup;
ALTER TYPE public.sync_status SET SCHEMA setup;

ALTER TABLE public.setup_profiles SET SCHEMA setup;
ALTER TABLE public.setup_sessions SET SCHEMA setup;
ALTER TABLE public.setup_steps SET SCHEMA setup;
ALTER TABLE public.tools SET SCHEMA setup;
ALTER TABLE public.configurations SET SCHEMA setup;
ALTER TABLE public.integrations SET SCHEMA setup;

ALTER TYPE public.audit_action SET SCHEMA audit;
ALTER TYPE public.log_level SET SCHEMA audit;

-- The children by inheritance (audit_logs_template, audit_logs_2024_01 and later months) follow their parent.
DO $$
DECLARE
  child REGCLASS;
BEGIN
  FOR child IN
    WITH RECURSIVE children AS (
      SELECT i.inhrelid FROM pg_inherits i
      WHERE i.inhparent IN ('public.audit_logs'::REGCLASS, 'public.system_logs'::REGCLASS)
      UNION
      SELECT i.inhrelid FROM pg_inherits i JOIN children c ON i.inhparent = c.inhrelid
    )
    SELECT c.inhrelid FROM children c
    JOIN pg_class r ON r.oid = c.inhrelid
    WHERE r.relnamespace <> 'audit'::REGNAMESPACE
  LOOP
    EXECUTE format('ALTER TABLE %s SET SCHEMA audit', child);
  END LOOP;
END
$$;

ALTER TABLE public.audit_logs SET SCHEMA audit;
ALTER TABLE public.system_logs SET SCHEMA audit;

-- The second layer replaces these, whether they exist or not.
ALTER VIEW IF EXISTS public.project_stats SET SCHEMA cache;

DO $$
BEGIN
  IF to_regprocedure('public.get_analysis_trends(uuid, text, integer)') IS NOT NULL THEN
    ALTER FUNCTION public.get_analysis_trends(UUID, TEXT, INTEGER) SET SCHEMA analysis;
  END IF;
  IF to_regprocedure('public.create_monthly_partition(text, date)') IS NOT NULL THEN
    ALTER FUNCTION public.create_monthly_partition(TEXT, DATE) SET SCHEMA audit;
  END IF;
END
$$;
