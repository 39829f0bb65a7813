-- No list is sorted by the id alone, so that nothing used this index but counts, which the design's
-- index on analysis_id serves in a sixth of the space. Every bulk load wrote it.
DROP INDEX CONCURRENTLY IF EXISTS analysis.idx_analysis_issues_analysis_id_id;
