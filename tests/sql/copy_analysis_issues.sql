-- analysis_issues.create_many
-- ()
COPY "analysis"."analysis_issues" ("id", "analysis_id", "type", "severity", "rule_id", "title", "description",
    "file_path", "line_number", "column_number", "end_line_number", "end_column_number", "code_snippet",
    "fix_suggestion", "estimated_fix_time", "status", "resolved_at", "resolved_by", "created_at")
FROM STDIN (FORMAT binary)
