-- Serves pages of an organization's projects, newest first. The table is small, so the index is not
-- built concurrently.
SET LOCAL lock_timeout = '5s';

CREATE INDEX IF NOT EXISTS idx_projects_org_created_id
  ON public.projects (organization_id, created_at DESC, id DESC);
