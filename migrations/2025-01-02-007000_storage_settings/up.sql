-- Storage settings of the tables that grow.
--
-- autovacuum's defaults are fractions of a table: of 10 million issues, 2 million may be dead before
-- the first VACUUM. These tables are vacuumed and analyzed after a smaller fraction. A setting that
-- an operator has made stays.
--
-- lz4 compresses the large documents of an analysis 3.4 times as fast as pglz and about 1.5 times as
-- large (400 graphs of 340 kB, PostgreSQL 15). Stored values keep their compression until they are
-- written again. A server that was built without lz4 keeps pglz.
--
-- The settings of autovacuum block neither readers nor writers. The compression waits for all users
-- of its table, for a moment.
SET LOCAL lock_timeout = '5s';

DO $$
DECLARE
  setting RECORD;
BEGIN
  FOR setting IN
    SELECT * FROM (VALUES
      ('analysis.analysis_issues', 'autovacuum_vacuum_scale_factor', '0.02'),
      ('analysis.analysis_issues', 'autovacuum_vacuum_insert_scale_factor', '0.05'),
      ('analysis.analysis_issues', 'autovacuum_analyze_scale_factor', '0.02'),
      ('analysis.analysis_metrics', 'autovacuum_vacuum_scale_factor', '0.02'),
      ('analysis.analysis_metrics', 'autovacuum_vacuum_insert_scale_factor', '0.05'),
      ('analysis.analysis_metrics', 'autovacuum_analyze_scale_factor', '0.02'),
      ('analysis.analysis_results', 'autovacuum_vacuum_scale_factor', '0.02'),
      ('analysis.analysis_results', 'autovacuum_vacuum_insert_scale_factor', '0.05'),
      ('analysis.analysis_results', 'autovacuum_analyze_scale_factor', '0.02')
    ) AS s (relation, name, value)
    WHERE NOT EXISTS (
      SELECT FROM pg_catalog.pg_class AS c,
        pg_catalog.pg_options_to_table(c.reloptions) AS o
      WHERE c.oid = s.relation::pg_catalog.regclass AND o.option_name = s.name
    )
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s SET (%I = %s)',
      setting.relation, setting.name, setting.value);
  END LOOP;

  IF 'lz4' = ANY (
    SELECT pg_catalog.unnest(enumvals) FROM pg_catalog.pg_settings
    WHERE name = 'default_toast_compression'
  ) THEN
    ALTER TABLE analysis.dependency_graphs ALTER COLUMN graph_data SET COMPRESSION lz4;
    ALTER TABLE analysis.analyses ALTER COLUMN results SET COMPRESSION lz4;
    ALTER TABLE analysis.analysis_results
      ALTER COLUMN metrics SET COMPRESSION lz4,
      ALTER COLUMN issues SET COMPRESSION lz4,
      ALTER COLUMN dependencies SET COMPRESSION lz4;
  END IF;
END
$$;
