-- analyses.pin
-- (text, uuid, uuid)
INSERT INTO analysis.analysis_pins AS pin (analysis_id, reason, pinned_by)
SELECT a.id, $1, $2
FROM analysis.analyses AS a
WHERE a.id = $3
AND NOT EXISTS (
  SELECT
  FROM analysis.analysis_removals AS r
  WHERE r.analysis_id = a.id
)
ON CONFLICT (analysis_id, reason)
DO UPDATE
SET reason = pin.reason
RETURNING pin.analysis_id, pin.reason, pin.pinned_by, pin.pinned_at
