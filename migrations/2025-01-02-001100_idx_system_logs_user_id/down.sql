DROP INDEX CONCURRENTLY IF EXISTS audit.idx_system_logs_user_id;
