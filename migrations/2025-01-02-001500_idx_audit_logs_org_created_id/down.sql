DROP INDEX CONCURRENTLY IF EXISTS audit.idx_audit_logs_org_created_id;
