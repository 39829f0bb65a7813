SET LOCAL lock_timeout = '5s';

DROP TABLE audit.audit_log_anonymizations;

CREATE OR REPLACE FUNCTION audit.refuse_change() RETURNS TRIGGER
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION '%.% is append-only: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'insufficient_privilege', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
      HINT = 'Detach or drop the partition of a month instead.';
END;
$$;
