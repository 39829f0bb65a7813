DROP INDEX public.idx_projects_org_created_id;
