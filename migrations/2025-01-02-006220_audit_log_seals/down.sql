SET LOCAL lock_timeout = '5s';

DROP TABLE audit.audit_log_seal_pages;
DROP TABLE audit.audit_log_seals;
