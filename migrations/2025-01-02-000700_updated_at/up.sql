-- In the design, updated_at has a default, but no statement changes it. A trigger does, for every
-- writer. The new value is later than the old one even if the clock or an older transaction lags
-- behind, so that a writer can test for "unchanged since it was read". An UPDATE that changes
-- nothing does not change it.
SET LOCAL lock_timeout = '5s';

CREATE FUNCTION public.set_updated_at() RETURNS TRIGGER
LANGUAGE plpgsql
AS $$
BEGIN
  NEW.updated_at := GREATEST(NOW(), OLD.updated_at + INTERVAL '1 microsecond');
  RETURN NEW;
END;
$$;

CREATE TRIGGER trg_users_updated_at BEFORE UPDATE ON public.users
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION public.set_updated_at();

CREATE TRIGGER trg_organizations_updated_at BEFORE UPDATE ON public.organizations
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION public.set_updated_at();

CREATE TRIGGER trg_projects_updated_at BEFORE UPDATE ON public.projects
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION public.set_updated_at();

CREATE TRIGGER trg_setup_profiles_updated_at BEFORE UPDATE ON setup.setup_profiles
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION public.set_updated_at();

CREATE TRIGGER trg_tools_updated_at BEFORE UPDATE ON setup.tools
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION public.set_updated_at();

CREATE TRIGGER trg_configurations_updated_at BEFORE UPDATE ON setup.configurations
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION public.set_updated_at();

CREATE TRIGGER trg_integrations_updated_at BEFORE UPDATE ON setup.integrations
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION public.set_updated_at();
