-- audit_logs.verify
-- (date)
SELECT entries, hash, sealed_at
FROM audit.audit_log_seals
WHERE month = $1
