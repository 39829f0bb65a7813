-- (uuid, uuid)
UPDATE analysis.analysis_issues
SET status = 'resolved', resolved_at = pg_catalog.now(), resolved_by = $1
WHERE id IN (
  SELECT "analysis"."analysis_issues"."id"
  FROM "analysis"."analysis_issues"
  WHERE ("analysis"."analysis_issues"."analysis_id" = $2)
)
