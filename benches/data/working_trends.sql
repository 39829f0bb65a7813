-- The design's get_analysis_trends fails whenever it is called: avg_value is both a column and a result. The smallest
-- change that lets it run says which of them is meant.
DO $$
BEGIN
  EXECUTE regexp_replace(
    pg_get_functiondef('get_analysis_trends'::REGPROC), '\mBEGIN\M', E'#variable_conflict use_column\nBEGIN');
END
$$;
