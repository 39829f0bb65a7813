-- db.queue_state
-- ()
SELECT pg_catalog.count(*) FILTER (WHERE a.status = 'pending') AS pending, pg_catalog.count(*) FILTER (WHERE a.status
    = 'running') AS running, pg_catalog.count(*) FILTER (WHERE a.status = 'running' AND l.expires_at <=
    pg_catalog.statement_timestamp()) AS abandoned, pg_catalog.trunc(1000000 * EXTRACT(EPOCH FROM pg_catalog.statement_timestamp()
    - pg_catalog.min(a.created_at) FILTER (WHERE a.status = 'pending')))::pg_catalog.int8 AS longest_wait
FROM analysis.analyses AS a
LEFT JOIN analysis.analysis_leases AS l ON l.analysis_id = a.id
WHERE a.status IN ('pending', 'running')
