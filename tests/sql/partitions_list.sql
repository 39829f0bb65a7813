-- partitions_list
-- (text)
SELECT name, is_default, CASE WHEN bound_from > '-infinity' THEN LEAST(bound_from, '200000-01-01') END AS
    bound_from, CASE WHEN bound_before < '200000-01-01' THEN GREATEST(bound_before, '4713-01-01 BC') END AS
    bound_before, estimated_rows, bytes
FROM (
  SELECT pg_catalog.format('%I.%I', namespace.nspname, class.relname) AS name, bound = 'DEFAULT' AS is_default,
      (pg_catalog.regexp_match(bound, 'FROM \(''([^'']+)''\)'))[1]::timestamptz AS bound_from, (pg_catalog.regexp_match(bound,
      'TO \(''([^'']+)''\)'))[1]::timestamptz AS bound_before, class.reltuples AS estimated_rows, COALESCE(pg_catalog.pg_total_relation_size(class.oid),
      0) AS bytes
  FROM pg_catalog.pg_inherits
  JOIN pg_catalog.pg_class AS class ON class.oid = inhrelid
  JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
  CROSS JOIN LATERAL pg_catalog.pg_get_expr(class.relpartbound, class.oid) AS bound
  WHERE inhparent = $1::regclass
  AND bound IS NOT NULL
) AS partitions
ORDER BY is_default, bound_from NULLS FIRST, name
