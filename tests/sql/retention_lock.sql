-- retention_lock
-- (uuid[])
SELECT id
FROM analysis.analyses
WHERE id = ANY ($1)
ORDER BY id
FOR UPDATE SKIP LOCKED
