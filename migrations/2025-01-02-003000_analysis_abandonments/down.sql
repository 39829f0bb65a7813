SET LOCAL lock_timeout = '5s';

CREATE OR REPLACE FUNCTION analysis.end_lease() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  DELETE FROM analysis.analysis_leases WHERE analysis_id = NEW.id;
  RETURN NULL;
END;
$$;

DROP TABLE analysis.analysis_abandonments;
