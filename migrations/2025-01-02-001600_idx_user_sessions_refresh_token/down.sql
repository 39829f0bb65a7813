DROP INDEX CONCURRENTLY IF EXISTS public.idx_user_sessions_refresh_token;
