-- An analysis that kills every worker that runs it would pass from one to the next for ever. The
-- number of abandoned runs is counted, so that the caller that requeues the analysis can fail it
-- instead. The count is removed when a run ends in another way. An analysis that is canceled while
-- it is pending keeps it until it is deleted. It is separate from the lease, which ends with each
-- run.
SET LOCAL lock_timeout = '5s';

CREATE TABLE analysis.analysis_abandonments (
  analysis_id UUID PRIMARY KEY REFERENCES analysis.analyses(id) ON DELETE CASCADE,
  times INTEGER NOT NULL CONSTRAINT valid_times CHECK (times > 0)
);

CREATE OR REPLACE FUNCTION analysis.end_lease() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  DELETE FROM analysis.analysis_leases WHERE analysis_id = NEW.id;
  IF NEW.status <> 'pending' THEN
    DELETE FROM analysis.analysis_abandonments WHERE analysis_id = NEW.id;
  END IF;
  RETURN NULL;
END;
$$;
