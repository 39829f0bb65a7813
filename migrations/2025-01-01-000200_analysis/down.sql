DROP TABLE analysis.duplicate_groups;
DROP TABLE analysis.dependency_graphs;
DROP TABLE analysis.analysis_metrics;
DROP TABLE analysis.analysis_issues;
DROP TABLE analysis.analysis_results;
DROP TABLE analysis.analyses;

DROP TYPE analysis.trend_direction;
DROP TYPE analysis.metric_category;
DROP TYPE analysis.issue_status;
DROP TYPE analysis.issue_severity;
DROP TYPE analysis.issue_type;
DROP TYPE analysis.analysis_status;
DROP TYPE analysis.analysis_type;

-- The schema may hold things that are not ours.
DO $$
BEGIN
  DROP SCHEMA analysis;
EXCEPTION WHEN dependent_objects_still_exist THEN
  RAISE NOTICE 'schema analysis is kept: it is not empty';
END
$$;
