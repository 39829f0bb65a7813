-- log_archive_copy_out
-- ()
COPY (
  SELECT "id", "created_at"
  FROM ONLY audit.audit_logs_2024_01
  ORDER BY created_at, id
) TO STDOUT
