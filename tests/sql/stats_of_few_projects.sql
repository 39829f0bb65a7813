-- project_stats.find_many
-- (uuid[])
SELECT id, name, total_analyses, completed_analyses, last_analysis_at, avg_quality_score, member_count
FROM cache.project_stats_of($1)
