-- retention_slice_of_issues
-- (uuid, int8)
DELETE FROM analysis.analysis_issues
WHERE id = ANY (ARRAY(
  SELECT id
  FROM analysis.analysis_issues
  WHERE analysis_id = $1
  LIMIT $2
))
