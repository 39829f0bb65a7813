-- idx_analysis_issues_resolved_created_id begins with the same column.
DROP INDEX CONCURRENTLY IF EXISTS analysis.idx_analysis_issues_resolved_by;
