-- retention_removals
-- ()
SELECT analysis_id AS id
FROM analysis.analysis_removals
ORDER BY begun_at, analysis_id
LIMIT 500
