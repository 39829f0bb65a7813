-- analysis_issues.create_many
-- (uuid[], uuid[], text[], text[], text[], text[], text[], text[], int4[], int4[], int4[], int4[], text[], text[], int4[], text[], timestamptz[], uuid[], timestamptz[])
INSERT INTO "analysis"."analysis_issues" ("id", "analysis_id", "type", "severity", "rule_id", "title",
    "description", "file_path", "line_number", "column_number", "end_line_number", "end_column_number",
    "code_snippet", "fix_suggestion", "estimated_fix_time", "status", "resolved_at", "resolved_by",
    "created_at")
SELECT "new"."id", "new"."analysis_id", "new"."type"::analysis.issue_type, "new"."severity"::analysis.issue_severity,
    "new"."rule_id", "new"."title", "new"."description", "new"."file_path", "new"."line_number", "new"."column_number",
    "new"."end_line_number", "new"."end_column_number", "new"."code_snippet", "new"."fix_suggestion", "new"."estimated_fix_time",
    COALESCE("new"."status"::analysis.issue_status, 'open'), "new"."resolved_at", "new"."resolved_by",
    COALESCE("new"."created_at", now())
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) AS "new" ("id",
    "analysis_id", "type", "severity", "rule_id", "title", "description", "file_path", "line_number",
    "column_number", "end_line_number", "end_column_number", "code_snippet", "fix_suggestion",
    "estimated_fix_time", "status", "resolved_at", "resolved_by", "created_at")
