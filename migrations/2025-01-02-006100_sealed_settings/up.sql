-- The design marks an encrypted setting by a flag, and nothing keeps its value from being stored in
-- the clear: by a writer that has no keys, or that updates the value and not the flag. A trigger
-- refuses it, for every writer. Values that were stored before stay as they are, which a constraint
-- would refuse at the next update of such a row.
SET LOCAL lock_timeout = '5s';

CREATE FUNCTION setup.refuse_unsealed_value() RETURNS TRIGGER
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION 'the value of an encrypted setting is not sealed'
    USING ERRCODE = 'check_violation', SCHEMA = 'setup', TABLE = 'configurations',
      CONSTRAINT = 'sealed_value';
END;
$$;

REVOKE EXECUTE ON FUNCTION setup.refuse_unsealed_value() FROM PUBLIC;

CREATE TRIGGER trg_configurations_sealed
  BEFORE INSERT OR UPDATE OF value, is_encrypted ON setup.configurations
  FOR EACH ROW WHEN (NEW.is_encrypted AND NOT (
    pg_catalog.jsonb_typeof(NEW.value) = 'string'
    AND (NEW.value #>> '{}') ~ '^v1[|][0-9]{1,5}[|][A-Za-z0-9_-]{32}[|][A-Za-z0-9_-]{22,}$'
  ))
  EXECUTE FUNCTION setup.refuse_unsealed_value();
