SET LOCAL lock_timeout = '5s';

DROP TABLE public.organization_invitations;
