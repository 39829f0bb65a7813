-- audit_logs.seal
-- (date, int8, bytea)
INSERT INTO audit.audit_log_seals (month, entries, hash)
VALUES ($1, $2, pg_catalog.sha256($3))
RETURNING entries, hash, sealed_at
