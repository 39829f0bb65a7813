-- An interrupted concurrent build leaves an index that exists, so that IF NOT EXISTS skips it, but
-- is never used. This checks the indexes that were built since the former such check, before the
-- next migration drops the predecessor of one of them.
SET LOCAL lock_timeout = '5s';

DO $$
DECLARE
  unfinished TEXT;
BEGIN
  SELECT string_agg(i.indexrelid::REGCLASS::TEXT, ', ') INTO unfinished
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  WHERE NOT i.indisvalid
    AND (c.relnamespace::REGNAMESPACE::TEXT, c.relname) IN (
      ('analysis', 'idx_analysis_issues_file_path_prefix'),
      ('analysis', 'idx_analysis_results_file_path_prefix'),
      ('analysis', 'idx_analysis_issues_resolved_created_id')
    );
  IF unfinished IS NOT NULL THEN
    RAISE EXCEPTION 'the concurrent build of % was interrupted', unfinished
      USING ERRCODE = 'object_not_in_prerequisite_state',
        HINT = 'REINDEX INDEX CONCURRENTLY each of them, then migrate again.';
  END IF;
END
$$;
