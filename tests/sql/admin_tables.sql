-- admin_tables
-- ()
WITH tables AS (
  SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, c.reltuples, pg_catalog.pg_total_relation_size(c.oid)
      AS bytes, pg_catalog.pg_indexes_size(c.oid) AS index_bytes, s.n_live_tup, s.n_dead_tup, s.n_mod_since_analyze,
      s.n_tup_upd, s.n_tup_hot_upd, s.seq_scan, s.idx_scan, GREATEST(s.last_vacuum, s.last_autovacuum) AS
      last_vacuum, GREATEST(s.last_analyze, s.last_autoanalyze) AS last_analyze, GREATEST(pg_catalog.age(c.relfrozenxid),
      pg_catalog.age(t.relfrozenxid)) AS xid_age, GREATEST(pg_catalog.mxid_age(c.relminmxid), pg_catalog.mxid_age(t.relminmxid))
      AS mxid_age, pg_catalog.jsonb_object(COALESCE((
    SELECT pg_catalog.array_agg(part ORDER BY position, place)
    FROM pg_catalog.unnest(c.reloptions) WITH ORDINALITY AS o (option, position), pg_catalog.unnest(ARRAY[pg_catalog.split_part(option,
        '=', 1), pg_catalog.split_part(option, '=', 2)]) WITH ORDINALITY AS p (part, place)
  ), '{}')) AS options
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_stat_all_tables AS s ON s.relid = c.oid
  LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
  WHERE c.relkind IN ('r', 'm')
  AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
)
SELECT pg_catalog.jsonb_build_object('tables', COALESCE((
  SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', name, 'bytes', bytes, 'index_bytes',
      index_bytes, 'live_rows', n_live_tup, 'dead_rows', n_dead_tup, 'vacuum_threshold', LEAST(COALESCE(options
      ->> 'autovacuum_vacuum_threshold', pg_catalog.current_setting('autovacuum_vacuum_threshold'))::pg_catalog.float8
      + COALESCE(options ->> 'autovacuum_vacuum_scale_factor', pg_catalog.current_setting('autovacuum_vacuum_scale_factor'))::pg_catalog.float8
      * GREATEST(reltuples, 0), NULLIF(pg_catalog.current_setting('autovacuum_vacuum_max_threshold', true),
      '-1')::pg_catalog.float8), 'changed_since_analyze', n_mod_since_analyze, 'updates', n_tup_upd,
      'hot_updates', n_tup_hot_upd, 'sequential_scans', seq_scan, 'index_scans', COALESCE(idx_scan, 0),
      'last_vacuum', last_vacuum, 'last_analyze', last_analyze, 'xid_age', xid_age, 'mxid_age', mxid_age)
      ORDER BY bytes DESC, name)
  FROM tables
), '[]'), 'xid_age', (
  SELECT pg_catalog.age(datfrozenxid)
  FROM pg_catalog.pg_database
  WHERE datname = pg_catalog.current_database()
), 'mxid_age', (
  SELECT pg_catalog.mxid_age(datminmxid)
  FROM pg_catalog.pg_database
  WHERE datname = pg_catalog.current_database()
), 'freeze_max_age', pg_catalog.current_setting('autovacuum_freeze_max_age')::pg_catalog.int8,
    'multixact_freeze_max_age', pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::pg_catalog.int8)::pg_catalog.text
    AS document
