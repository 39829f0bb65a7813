-- analysis_issues.update_many
-- (unknown, uuid)
UPDATE "analysis"."analysis_issues"
SET "severity" = $1::analysis.issue_severity
WHERE "id" IN (
  SELECT "analysis"."analysis_issues"."id"
  FROM "analysis"."analysis_issues"
  WHERE ("analysis"."analysis_issues"."analysis_id" = $2)
  FOR UPDATE
)
