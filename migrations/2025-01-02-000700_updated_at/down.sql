SET LOCAL lock_timeout = '5s';

DROP TRIGGER trg_integrations_updated_at ON setup.integrations;
DROP TRIGGER trg_configurations_updated_at ON setup.configurations;
DROP TRIGGER trg_tools_updated_at ON setup.tools;
DROP TRIGGER trg_setup_profiles_updated_at ON setup.setup_profiles;
DROP TRIGGER trg_projects_updated_at ON public.projects;
DROP TRIGGER trg_organizations_updated_at ON public.organizations;
DROP TRIGGER trg_users_updated_at ON public.users;

DROP FUNCTION public.set_updated_at();
