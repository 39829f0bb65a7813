-- analysis.end_lease() runs with its owner's rights, and PUBLIC may call a new function. A guest
-- with USAGE on the schema could make it a trigger of its own table. Each UPDATE of that table then
-- ended the lease of any analysis, and an implicit cast on the column "id" ran the guest's code as
-- the owner.
--
-- The right to use it in a trigger is revoked; firing a trigger needs no right. If a guest's
-- trigger already exists, the function rejects it before it reads a column of the row, so that the
-- type of that row selects neither a cast nor an operator. analysis.notify_analysis() runs with its
-- caller's rights. It only needs operators and types that do not depend on the caller's
-- search_path.
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
