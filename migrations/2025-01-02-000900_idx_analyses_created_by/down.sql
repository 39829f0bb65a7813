DROP INDEX CONCURRENTLY IF EXISTS analysis.idx_analyses_created_by;
