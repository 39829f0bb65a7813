-- erasure_begin
-- ()
SELECT pg_catalog.set_config('lock_timeout', '10s', true) AS setting
UNION ALL
SELECT pg_catalog.set_config('statement_timeout', '0', true)
UNION ALL
SELECT pg_catalog.set_config('wundr.erasure', 'on', true)
