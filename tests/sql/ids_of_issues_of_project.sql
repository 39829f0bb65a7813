-- ids_of_issues_of_project
-- (text, uuid)
SELECT "analysis"."analysis_issues"."id"
FROM "analysis"."analysis_issues"
WHERE (((("analysis"."analysis_issues"."file_path" LIKE $1)) IS TRUE) AND (analysis.analysis_issues.analysis_id
    = ANY (ARRAY(
  SELECT analyses.id
  FROM analysis.analyses
  WHERE analyses.project_id = $2
))))
