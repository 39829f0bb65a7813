-- cache_next_transaction
-- ()
SELECT pg_catalog.pg_current_xact_id()::text AS id
