-- An organization that is imported has any number of analyses. Each would send a notification, and
-- a listener would read the state of each. A transaction that sets wundr.quiet sends none. To
-- disable the triggers instead would lock the table of all organizations until the commit.
--
-- The function is otherwise that of migrations 2025-01-02-002600 and 2025-01-02-003100.
SET LOCAL lock_timeout = '5s';

CREATE OR REPLACE FUNCTION analysis.notify_analysis() RETURNS TRIGGER
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  changed analysis.analyses := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
BEGIN
  IF current_setting('wundr.quiet', true) = 'on' THEN
    RETURN NULL;
  END IF;
  PERFORM pg_catalog.pg_notify('wundr_analyses', pg_catalog.json_build_object(
    'id', changed.id, 'project_id', changed.project_id, 'type', changed.type,
    'status', changed.status, 'progress', changed.progress)::text);
  RETURN NULL;
END;
$$;
