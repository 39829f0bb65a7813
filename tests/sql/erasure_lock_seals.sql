-- ()
LOCK TABLE audit.audit_log_seal_pages IN SHARE ROW EXCLUSIVE MODE
