-- ids_of_issues_with_prefix
-- (text, text, text)
SELECT "analysis"."analysis_issues"."id"
FROM "analysis"."analysis_issues"
WHERE ("analysis"."analysis_issues"."file_path" LIKE $1 AND "analysis"."analysis_issues"."file_path" OPERATOR(pg_catalog.~>=~)
    $2 AND "analysis"."analysis_issues"."file_path" OPERATOR(pg_catalog.~<~) $3)
