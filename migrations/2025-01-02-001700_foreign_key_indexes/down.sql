DROP INDEX setup.idx_integrations_created_by;
DROP INDEX setup.idx_configurations_created_by;
DROP INDEX public.idx_project_members_added_by;
DROP INDEX public.idx_organization_members_invited_by;
