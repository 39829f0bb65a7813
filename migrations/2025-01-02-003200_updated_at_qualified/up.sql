-- public.set_updated_at() resolves names by the search_path of the session that writes. Its names
-- are now qualified, so that a schema on that path cannot replace a function or an operator. A SET
-- clause would have the same effect, at a cost for every UPDATE.
SET LOCAL lock_timeout = '5s';

CREATE OR REPLACE FUNCTION public.set_updated_at() RETURNS TRIGGER
LANGUAGE plpgsql
AS $$
BEGIN
  NEW.updated_at := GREATEST(pg_catalog.now(), OLD.updated_at OPERATOR(pg_catalog.+) INTERVAL '1 microsecond');
  RETURN NEW;
END;
$$;
