DROP INDEX CONCURRENTLY IF EXISTS analysis.idx_analysis_issues_resolved_by;
