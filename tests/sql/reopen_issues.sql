-- analysis_issues.resolve_many
-- (unknown, uuid)
UPDATE analysis.analysis_issues
SET status = $1::analysis.issue_status, resolved_at = NULL, resolved_by = NULL
WHERE id IN (
  SELECT "analysis"."analysis_issues"."id"
  FROM "analysis"."analysis_issues"
  WHERE ("analysis"."analysis_issues"."analysis_id" = $2)
  FOR UPDATE
)
