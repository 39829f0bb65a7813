-- retention_slice_of_results
-- (uuid, int8)
DELETE FROM analysis.analysis_results
WHERE id = ANY (ARRAY(
  SELECT id
  FROM analysis.analysis_results
  WHERE analysis_id = $1
  LIMIT $2
))
