DROP FUNCTION audit.create_monthly_partition(TEXT, DATE);
DROP FUNCTION analysis.get_analysis_trends(UUID, TEXT, INTEGER);
DROP VIEW cache.project_stats;

-- The schema may hold things that are not ours.
DO $$
BEGIN
  DROP SCHEMA cache;
EXCEPTION WHEN dependent_objects_still_exist THEN
  RAISE NOTICE 'schema cache is kept: it is not empty';
END
$$;
