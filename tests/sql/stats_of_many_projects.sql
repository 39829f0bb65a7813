-- project_stats.find_many
-- (uuid[], int4)
SELECT id, name, total_analyses, completed_analyses, last_analysis_at, avg_quality_score, member_count
FROM cache.project_stats_of($1)
WHERE (
  SELECT pg_catalog.count(*)
  FROM pg_catalog.generate_series(1, $2) AS a, pg_catalog.generate_series(1, $2) AS b, pg_catalog.generate_series(1,
      $2) AS c
) > 0
