DROP INDEX CONCURRENTLY IF EXISTS analysis.idx_analyses_pending;
