-- audit_logs.verify
-- (date, int8, bytea)
SELECT entries = $2
AND hash = pg_catalog.sha256($3) AS yes
FROM audit.audit_log_seals
WHERE month = $1
