-- retention_lock_timeout
-- ()
SELECT pg_catalog.set_config('lock_timeout', '2s', true) AS setting
