SET LOCAL lock_timeout = '5s';

ALTER TABLE analysis.analysis_results
  ALTER COLUMN metrics SET COMPRESSION default,
  ALTER COLUMN issues SET COMPRESSION default,
  ALTER COLUMN dependencies SET COMPRESSION default;
ALTER TABLE analysis.analyses ALTER COLUMN results SET COMPRESSION default;
ALTER TABLE analysis.dependency_graphs ALTER COLUMN graph_data SET COMPRESSION default;

-- A setting with another value is an operator's.
DO $$
DECLARE
  setting RECORD;
BEGIN
  FOR setting IN
    SELECT c.oid::pg_catalog.regclass AS relation, o.option_name
    FROM pg_catalog.pg_class AS c, pg_catalog.pg_options_to_table(c.reloptions) AS o
    WHERE c.oid IN ('analysis.analysis_issues'::pg_catalog.regclass,
        'analysis.analysis_metrics'::pg_catalog.regclass,
        'analysis.analysis_results'::pg_catalog.regclass)
      AND (o.option_name, o.option_value) IN (
        ('autovacuum_vacuum_scale_factor', '0.02'),
        ('autovacuum_vacuum_insert_scale_factor', '0.05'),
        ('autovacuum_analyze_scale_factor', '0.02'))
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s RESET (%I)', setting.relation, setting.option_name);
  END LOOP;
END
$$;
