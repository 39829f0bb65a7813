-- analysis_issues.list
-- (uuid, uuid)
SELECT "analysis"."analysis_issues"."id", "analysis"."analysis_issues"."analysis_id", "analysis"."analysis_issues"."type",
    "analysis"."analysis_issues"."severity", "analysis"."analysis_issues"."rule_id", "analysis"."analysis_issues"."title",
    "analysis"."analysis_issues"."description", "analysis"."analysis_issues"."file_path", "analysis"."analysis_issues"."line_number",
    "analysis"."analysis_issues"."column_number", "analysis"."analysis_issues"."end_line_number", "analysis"."analysis_issues"."end_column_number",
    "analysis"."analysis_issues"."code_snippet", "analysis"."analysis_issues"."fix_suggestion", "analysis"."analysis_issues"."estimated_fix_time",
    "analysis"."analysis_issues"."status", "analysis"."analysis_issues"."resolved_at", "analysis"."analysis_issues"."resolved_by",
    "analysis"."analysis_issues"."created_at"
FROM "analysis"."analysis_issues"
WHERE (analysis.analysis_issues.id = ANY (ARRAY(
  SELECT child.id
  FROM (
    SELECT analyses.id
    FROM analysis.analyses
    WHERE analyses.project_id = $1
  ) AS parent
  CROSS JOIN LATERAL (
    SELECT "analysis"."analysis_issues"."severity" AS key, "analysis"."analysis_issues"."id"
    FROM "analysis"."analysis_issues"
    WHERE ((analysis.analysis_issues.analysis_id = parent.id) AND (analysis.analysis_issues.id >= (
      SELECT $2
    )))
    ORDER BY "analysis"."analysis_issues"."severity" ASC, "analysis"."analysis_issues"."id" ASC
    LIMIT 21
  ) AS child
  ORDER BY child.key ASC, child.id ASC
  LIMIT 21
)))
ORDER BY "analysis"."analysis_issues"."severity" ASC, "analysis"."analysis_issues"."id" ASC
