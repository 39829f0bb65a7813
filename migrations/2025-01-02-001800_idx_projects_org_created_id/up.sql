-- An organization's projects, newest first, a page at a time. The table is small: a plain build will do.
SET LOCAL lock_timeout = '5s';

CREATE INDEX IF NOT EXISTS idx_projects_org_created_id
  ON public.projects (organization_id, created_at DESC, id DESC);
