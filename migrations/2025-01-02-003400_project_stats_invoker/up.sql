-- cache.project_stats read its tables with the rights of its owner, past the row security of the role that asks. It
-- reads them with the rights of that role. A role that may read the view needs SELECT on public.projects,
-- public.project_members and analysis.analyses too.
SET LOCAL lock_timeout = '5s';

ALTER VIEW cache.project_stats SET (security_invoker = true);
