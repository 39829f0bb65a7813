-- log_archive_drop
-- ()
DO $$ BEGIN
SET LOCAL lock_timeout = '2s'; DROP TABLE audit.audit_logs_2024_01; END $$
