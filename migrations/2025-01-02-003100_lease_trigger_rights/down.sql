SET LOCAL lock_timeout = '5s';

GRANT EXECUTE ON FUNCTION analysis.notify_analysis() TO PUBLIC;
ALTER FUNCTION analysis.notify_analysis() RESET search_path;

GRANT EXECUTE ON FUNCTION analysis.end_lease() TO PUBLIC;

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
