-- after_restore_open_functions
-- (text[])
SELECT kept.name
FROM (
  SELECT pg_catalog.unnest($1)
  UNION ALL
  SELECT pg_catalog.format('audit.%I()', p.proname)
  FROM pg_catalog.pg_proc AS p
  JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
  WHERE n.nspname = 'audit'
  AND p.proname LIKE 'record\_update\_of\_%'
) AS kept (name)
WHERE pg_catalog.has_function_privilege('public', pg_catalog.to_regprocedure(kept.name), 'EXECUTE')
ORDER BY kept.name
