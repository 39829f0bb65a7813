-- organization_prepare_import
-- ()
SELECT pg_catalog.count(pg_catalog.set_config(name, value, true)) AS number
FROM (VALUES ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'), ('wundr.quiet', 'on'))
    AS prepared (name, value)
