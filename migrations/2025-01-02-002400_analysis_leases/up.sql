-- In the design, an analysis has the state "running", but no worker. If its worker dies, it runs
-- for ever, and a worker that was only slow can end a run that another worker has taken over. A
-- lease contains the worker, its expiry, and a number that rises with every claim. By this fencing
-- token, the database rejects a worker that has lost its lease, as can any other store that keeps
-- the greatest token it has received.
SET LOCAL lock_timeout = '5s';

CREATE TABLE analysis.analysis_leases (
  analysis_id UUID PRIMARY KEY REFERENCES analysis.analyses(id) ON DELETE CASCADE,
  worker TEXT NOT NULL,
  fence BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY,
  expires_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX idx_analysis_leases_expires_at ON analysis.analysis_leases (expires_at);

-- Ending a run ends its lease. The role that ends it needs no right to the leases.
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
