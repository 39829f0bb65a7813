-- snapshot_pin
-- ()
SELECT pg_catalog.count(pg_catalog.set_config(pinned.name, pinned.value, true)) AS number
FROM (VALUES ('TimeZone', 'UTC'), ('DateStyle', 'ISO, YMD'), ('IntervalStyle', 'postgres'), ('extra_float_digits',
    '3'), ('bytea_output', 'hex'), ('xmlbinary', 'base64'), ('lc_monetary', 'C'), ('search_path',
    'pg_catalog, pg_temp'), ('quote_all_identifiers', 'off'), ('row_security', 'off'), ('statement_timeout',
    '0'), ('idle_in_transaction_session_timeout', '0'), ('transaction_timeout', '0'), ('lock_timeout', '10s'))
    AS pinned (name, value)
JOIN pg_catalog.pg_settings AS s ON s.name = pinned.name
