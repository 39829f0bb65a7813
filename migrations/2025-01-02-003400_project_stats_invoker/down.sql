SET LOCAL lock_timeout = '5s';

ALTER VIEW cache.project_stats RESET (security_invoker);
