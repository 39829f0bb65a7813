-- admin_indexes
-- ()
WITH indexes AS (
  SELECT x.indexrelid, x.indrelid, n.nspname, t.relname AS table_name, i.relname AS index_name, i.reltuples,
      am.amname, x.indisvalid
  AND x.indisready
  AND x.indislive AS is_valid, x.indisunique OR x.indisprimary OR x.indisexclusion OR x.indisreplident AS
      is_rule, x.indnkeyatts, x.indnatts, x.indkey, x.indclass, x.indcollation, x.indoption, pg_catalog.pg_get_expr(x.indpred,
      x.indrelid) AS predicate, pg_catalog.pg_relation_size(i.oid) AS bytes, s.idx_scan, pg_catalog.to_jsonb(s)
      ->> 'last_idx_scan' AS last_scan
  FROM pg_catalog.pg_index AS x
  JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
  JOIN pg_catalog.pg_class AS t ON t.oid = x.indrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
  JOIN pg_catalog.pg_am AS am ON am.oid = i.relam
  JOIN pg_catalog.pg_stat_all_indexes AS s ON s.indexrelid = x.indexrelid
  WHERE i.relkind = 'i'
  AND t.relkind IN ('r', 'm')
  AND t.relpersistence <> 't'
  AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
), columns AS (
  SELECT x.indexrelid, place, place <= x.indnkeyatts AS is_key, pg_catalog.concat_ws(' ', pg_catalog.pg_get_indexdef(x.indexrelid,
      place, false), CASE WHEN place <= x.indnkeyatts THEN pg_catalog.concat_ws(' ', x.indclass[place - 1], x.indcollation[place
      - 1], x.indoption[place - 1]) END) AS column_of_index, x.amname = 'btree'
  AND (NOT pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT') OR pg_catalog.row_security_active(x.indrelid))
      AS is_hidden, (
    SELECT st.avg_width * (1 - st.null_frac)
    FROM pg_catalog.pg_stats AS st
    WHERE st.schemaname = x.nspname
    AND NOT st.inherited
    AND st.tablename = CASE x.indkey[place - 1] WHEN 0 THEN x.index_name ELSE x.table_name END
    AND st.attname = a.attname
  ) AS width
  FROM indexes AS x
  CROSS JOIN LATERAL pg_catalog.generate_series(1, x.indnatts::pg_catalog.int4) AS place
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = CASE x.indkey[place - 1] WHEN 0 THEN x.indexrelid ELSE x.indrelid
      END
  AND a.attnum = CASE x.indkey[place - 1] WHEN 0 THEN place ELSE x.indkey[place - 1] END
), of_each AS (
  SELECT indexrelid, pg_catalog.jsonb_agg(column_of_index ORDER BY place) FILTER (WHERE is_key) AS keys,
      COALESCE(pg_catalog.string_agg(column_of_index, ', ' ORDER BY place) FILTER (WHERE NOT is_key), '') AS
      included, CASE WHEN pg_catalog.count(width) = pg_catalog.count(*) THEN pg_catalog.sum(width) END AS
      width
  FROM columns
  GROUP BY indexrelid
)
SELECT pg_catalog.jsonb_build_object('indexes', COALESCE((
  SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('table', pg_catalog.format('%I.%I', nspname,
      table_name), 'name', index_name, 'bytes', bytes, 'scans', idx_scan, 'last_scan', last_scan, 'is_rule',
      is_rule, 'is_valid', is_valid, 'definition', pg_catalog.pg_get_indexdef(indexrelid), 'columns', keys,
      'kind', pg_catalog.concat_ws('; ', amname, included, predicate), 'expected_bytes', CASE WHEN amname =
      'btree' AND reltuples >= 0 THEN pg_catalog.ceil((1 + pg_catalog.ceil(reltuples * (12 + 8 * pg_catalog.ceil(width
      / 8)) / (0.9 * (block - 40)))) * block)::pg_catalog.int8 END) ORDER BY bytes DESC, nspname, index_name)
  FROM indexes
  JOIN of_each USING (indexrelid), (
    SELECT pg_catalog.current_setting('block_size')::pg_catalog.float8 AS block
  ) AS b
), '[]'), 'counted_since', (
  SELECT stats_reset
  FROM pg_catalog.pg_stat_database
  WHERE datname = pg_catalog.current_database()
), 'hidden', (
  SELECT pg_catalog.count(DISTINCT indexrelid)
  FROM columns
  WHERE is_hidden
))::pg_catalog.text AS document
