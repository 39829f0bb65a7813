-- log_archive_copy_in
-- ()
COPY audit.audit_logs_2024_01 ("id", "created_at")
FROM STDIN
