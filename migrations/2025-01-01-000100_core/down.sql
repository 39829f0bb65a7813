DROP TABLE public.project_members;
DROP TABLE public.projects;
DROP TABLE public.organization_members;
DROP TABLE public.organizations;
DROP TABLE public.user_sessions;
DROP TABLE public.users;

DROP TYPE public.project_role;
DROP TYPE public.project_visibility;
DROP TYPE public.project_status;
DROP TYPE public.repository_provider;
DROP TYPE public.organization_role;
DROP TYPE public.subscription_plan;
DROP TYPE public.user_role;
