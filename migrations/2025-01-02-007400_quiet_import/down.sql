SET LOCAL lock_timeout = '5s';

CREATE OR REPLACE FUNCTION analysis.notify_analysis() RETURNS TRIGGER
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
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
