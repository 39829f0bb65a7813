-- after_restore_unanalyzed
-- ()
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r'
AND n.nspname IN ('public', 'analysis', 'setup', 'audit')
AND pg_catalog.pg_relation_size(c.oid) > 0
AND c.reltuples <> 0
AND NOT EXISTS (
  SELECT
  FROM pg_catalog.pg_stats AS s
  WHERE s.schemaname = n.nspname
  AND s.tablename = c.relname
)
ORDER BY name
