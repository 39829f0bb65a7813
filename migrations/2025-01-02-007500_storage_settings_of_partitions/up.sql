-- The partitions of the logs that were created before migration 2025-01-02-007010 get the storage
-- settings that later ones have from their creation: a log only grows, so that it is vacuumed and
-- analyzed after a smaller fraction of new rows. A setting that an operator has made stays.
--
-- The settings of autovacuum block neither readers nor writers.
SET LOCAL lock_timeout = '5s';

DO $$
DECLARE
  setting RECORD;
BEGIN
  FOR setting IN
    SELECT c.oid::pg_catalog.regclass AS relation, s.name
    FROM pg_catalog.pg_inherits AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
    CROSS JOIN (VALUES
      ('autovacuum_vacuum_insert_scale_factor'), ('autovacuum_analyze_scale_factor')
    ) AS s (name)
    WHERE i.inhparent IN ('audit.audit_logs'::pg_catalog.regclass,
        'audit.system_logs'::pg_catalog.regclass)
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_options_to_table(c.reloptions) AS o
        WHERE o.option_name = s.name
      )
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s SET (%I = 0.05)', setting.relation, setting.name);
  END LOOP;
END
$$;
