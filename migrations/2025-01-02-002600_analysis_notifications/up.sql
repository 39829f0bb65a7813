-- In the design, a run can only be followed by polling. Triggers send a notification on the channel
-- wundr_analyses for every analysis that any writer creates or deletes, or whose status or progress
-- changes. There is no trigger for findings, which a listener counts by itself. Counting the rows
-- that a statement has added took a third more of the server's CPU time for a single finding (2 %
-- for 10,000 at once), and the lock below for each.
--
-- A transaction that notifies takes a lock of the whole database cluster while it commits. If that
-- is a bottleneck, ALTER TABLE analysis.analyses DISABLE TRIGGER trg_analyses_notify and
-- trg_analyses_notify_update.
SET LOCAL lock_timeout = '5s';

CREATE FUNCTION analysis.notify_analysis() RETURNS TRIGGER
LANGUAGE plpgsql
AS $$
DECLARE
  changed analysis.analyses := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
BEGIN
  PERFORM pg_catalog.pg_notify('wundr_analyses', pg_catalog.json_build_object(
    'id', changed.id, 'project_id', changed.project_id, 'type', changed.type,
    'status', changed.status, 'progress', changed.progress)::text);
  RETURN NULL;
END;
$$;

CREATE TRIGGER trg_analyses_notify AFTER INSERT OR DELETE ON analysis.analyses
  FOR EACH ROW EXECUTE FUNCTION analysis.notify_analysis();

CREATE TRIGGER trg_analyses_notify_update AFTER UPDATE OF status, progress ON analysis.analyses
  FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.progress IS DISTINCT FROM NEW.progress)
  EXECUTE FUNCTION analysis.notify_analysis();
