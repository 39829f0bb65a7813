-- (text[])
SELECT kept.name
FROM pg_catalog.unnest($1) AS kept (name)
WHERE pg_catalog.has_function_privilege('public', pg_catalog.to_regprocedure(kept.name), 'EXECUTE')
ORDER BY kept.name
