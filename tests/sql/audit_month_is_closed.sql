-- audit_logs.seal
-- (timestamptz)
SELECT $1 + INTERVAL '1 day' <= pg_catalog.now() AS yes
