-- The log refuses every change, so that a person that it names could never be erased. This is the
-- one exception: an UPDATE by the owner of the log, in a transaction with the setting
-- wundr.erasure, that takes away the persons and leaves the rest of the entry. It gives no role
-- more power: the owner can disable the trigger as well. A role without the owner's rights may set
-- the setting, and is refused.
--
-- The seal of a month stays as it is. For each sealed entry that was anonymized, the digest before
-- and after is kept, so that verify() can say so, and still finds any other change. Of an entry
-- that did not match its seal before, nothing is kept.
SET LOCAL lock_timeout = '5s';

CREATE OR REPLACE FUNCTION audit.refuse_change() RETURNS TRIGGER
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND TG_LEVEL = 'ROW'
    AND current_setting('wundr.erasure', true) = 'on'
    AND pg_has_role((SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE')
  THEN
    -- Within the first condition: a trigger of a statement has no rows.
    IF ROW(NEW.id, NEW.created_at, NEW.action, NEW.resource_type)
        IS NOT DISTINCT FROM ROW(OLD.id, OLD.created_at, OLD.action, OLD.resource_type)
      AND (NEW.user_id IS NULL OR NEW.user_id IS NOT DISTINCT FROM OLD.user_id)
      AND (NEW.organization_id IS NULL OR NEW.organization_id IS NOT DISTINCT FROM OLD.organization_id)
      AND (NEW.resource_id IS NULL OR NEW.resource_id IS NOT DISTINCT FROM OLD.resource_id)
      AND (NEW.ip_address IS NULL OR NEW.ip_address IS NOT DISTINCT FROM OLD.ip_address)
      AND (NEW.user_agent IS NULL OR NEW.user_agent IS NOT DISTINCT FROM OLD.user_agent)
    THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION '%.% is append-only: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'insufficient_privilege', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
      HINT = 'Detach or drop the partition of a month instead.';
END;
$$;

CREATE TABLE audit.audit_log_anonymizations (
  month DATE NOT NULL,
  entry_id UUID NOT NULL,
  generation INTEGER NOT NULL,
  sealed BYTEA NOT NULL,
  digest BYTEA NOT NULL,
  anonymized_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  PRIMARY KEY (month, entry_id, generation)
);

CREATE TRIGGER trg_audit_log_anonymizations_append_only
  BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.audit_log_anonymizations
  FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
