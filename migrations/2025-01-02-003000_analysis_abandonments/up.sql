-- An analysis that kills every worker that takes it would go from one to the next for ever. How often a run was
-- left behind is counted, so that whoever puts it back into the queue can give it up instead. The count ends
-- with a run that ends otherwise; one that is cancelled while it waits keeps it until it is deleted. It is apart
-- from the lease, which ends with each run.
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
