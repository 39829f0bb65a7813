DROP INDEX CONCURRENTLY IF EXISTS analysis.idx_analyses_project_created_id;
