-- audit_logs.verify
-- (date[])
SELECT month, pg_catalog.count(DISTINCT entry_id) AS entries, pg_catalog.sha256(pg_catalog.string_agg(pg_catalog.uuid_send(entry_id)
    || pg_catalog.int4send(generation) || sealed || digest, ''::bytea ORDER BY entry_id, generation)) AS hash
FROM audit.audit_log_anonymizations
WHERE month = ANY ($1)
GROUP BY month
ORDER BY month
