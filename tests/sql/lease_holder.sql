-- lease_holder
-- (uuid)
SELECT a.status, l.worker
FROM analysis.analyses AS a
LEFT JOIN analysis.analysis_leases AS l ON l.analysis_id = a.id
WHERE a.id = $1
