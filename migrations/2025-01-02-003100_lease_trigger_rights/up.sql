-- analysis.end_lease() runs with its owner's rights, and a new function may be called by PUBLIC: a guest with USAGE on
-- the schema made it a trigger of a table of its own. Each UPDATE of that table then ended the lease of any analysis,
-- and an implicit cast on the column "id" ran the guest's code as the owner.
--
-- The right to make a trigger of it is taken back; a trigger that fires needs none. A guest's trigger that is there
-- already is refused before any column of its row is read, so that the type of that row chooses neither a cast nor an
-- operator. analysis.notify_analysis() runs with its caller's rights: it only needs operators and types that the
-- caller's search_path does not choose.
SET LOCAL lock_timeout = '5s';

CREATE OR REPLACE FUNCTION analysis.end_lease() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF TG_RELID <> 'analysis.analyses'::pg_catalog.regclass THEN
    RAISE EXCEPTION 'analysis.end_lease() is a trigger of analysis.analyses alone'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  DELETE FROM analysis.analysis_leases WHERE analysis_id = NEW.id;
  IF NEW.status <> 'pending' THEN
    DELETE FROM analysis.analysis_abandonments WHERE analysis_id = NEW.id;
  END IF;
  RETURN NULL;
END;
$$;

REVOKE EXECUTE ON FUNCTION analysis.end_lease() FROM PUBLIC;

ALTER FUNCTION analysis.notify_analysis() SET search_path = pg_catalog, pg_temp;
REVOKE EXECUTE ON FUNCTION analysis.notify_analysis() FROM PUBLIC;
