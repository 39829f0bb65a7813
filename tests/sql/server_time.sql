-- server_time
-- ()
SELECT pg_catalog.statement_timestamp()
