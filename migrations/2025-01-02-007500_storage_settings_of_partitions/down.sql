-- The partitions that audit.create_monthly_partition has created since lose the settings as well:
-- the catalogue does not record which of them it was. They only concern the time of autovacuum. A
-- setting with another value is an operator's.
SET LOCAL lock_timeout = '5s';

DO $$
DECLARE
  setting RECORD;
BEGIN
  FOR setting IN
    SELECT c.oid::pg_catalog.regclass AS relation, o.option_name
    FROM pg_catalog.pg_inherits AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL pg_catalog.pg_options_to_table(c.reloptions) AS o
    WHERE i.inhparent IN ('audit.audit_logs'::pg_catalog.regclass,
        'audit.system_logs'::pg_catalog.regclass)
      AND (o.option_name, o.option_value) IN (
        ('autovacuum_vacuum_insert_scale_factor', '0.05'),
        ('autovacuum_analyze_scale_factor', '0.05'))
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s RESET (%I)', setting.relation, setting.option_name);
  END LOOP;
END
$$;
