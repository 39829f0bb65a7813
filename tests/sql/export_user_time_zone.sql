-- ()
SELECT pg_catalog.set_config('TimeZone', 'UTC', true) AS line
