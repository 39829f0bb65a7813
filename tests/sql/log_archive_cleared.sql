-- log_archive_cleared
-- ()
SELECT pg_catalog.current_setting('wundr.cleared')::bigint AS number
