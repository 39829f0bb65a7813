-- cache.project_stats read its tables with the rights of its owner, which bypassed the row security
-- of the querying role. Now it reads them with the rights of that role. A role that reads the view
-- also needs SELECT on public.projects, public.project_members and analysis.analyses.
SET LOCAL lock_timeout = '5s';

ALTER VIEW cache.project_stats SET (security_invoker = true);
