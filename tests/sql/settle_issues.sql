-- analysis_issues.resolve_many
-- (unknown, uuid, uuid)
UPDATE analysis.analysis_issues
SET status = $1::analysis.issue_status, resolved_at = pg_catalog.now(), resolved_by = $2
WHERE id IN (
  SELECT "analysis"."analysis_issues"."id"
  FROM "analysis"."analysis_issues"
  WHERE ("analysis"."analysis_issues"."analysis_id" = $3)
  FOR UPDATE
)
