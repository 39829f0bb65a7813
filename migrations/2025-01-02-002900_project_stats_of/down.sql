DROP FUNCTION IF EXISTS cache.project_stats_of(UUID[]);
