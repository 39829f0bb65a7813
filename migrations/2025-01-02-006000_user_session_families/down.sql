SET LOCAL lock_timeout = '5s';

DROP TRIGGER trg_users_end_sessions ON public.users;
DROP FUNCTION public.end_user_sessions();
DROP TABLE public.rotated_refresh_tokens;
DROP TABLE public.user_session_families;
