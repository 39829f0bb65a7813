-- The design says that an analysis runs, but not who runs it: one whose worker has died runs for ever, and a
-- worker that was only slow can end a run that is by now another's. A lease names the worker, until when it
-- has the run, and a number that rises with every claim, by which the database (and any other store that
-- remembers the greatest it has seen) refuses a worker that has lost its lease: a fencing token.
SET LOCAL lock_timeout = '5s';

CREATE TABLE analysis.analysis_leases (
  analysis_id UUID PRIMARY KEY REFERENCES analysis.analyses(id) ON DELETE CASCADE,
  worker TEXT NOT NULL,
  fence BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY,
  expires_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX idx_analysis_leases_expires_at ON analysis.analysis_leases (expires_at);

-- Whoever ends a run, ends its lease. They need no right to the leases for it.
CREATE FUNCTION analysis.end_lease() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  DELETE FROM analysis.analysis_leases WHERE analysis_id = NEW.id;
  RETURN NULL;
END;
$$;

CREATE TRIGGER trg_analyses_end_lease AFTER UPDATE OF status ON analysis.analyses
  FOR EACH ROW WHEN (OLD.status = 'running' AND NEW.status <> 'running')
  EXECUTE FUNCTION analysis.end_lease();
