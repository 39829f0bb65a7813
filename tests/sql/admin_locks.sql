-- admin_locks
-- ()
WITH waiting AS MATERIALIZED (
  SELECT DISTINCT ON (l.pid) l.pid, l.mode, l.waitstart, CASE WHEN c.oid IS NULL THEN l.locktype ELSE
      pg_catalog.format('%I.%I', n.nspname, c.relname) END AS object, pg_catalog.pg_blocking_pids(l.pid) AS
      blocked_by
  FROM pg_catalog.pg_locks AS l
  JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
  AND a.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_database AS d ON d.oid = l.database
  AND d.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
  AND d.oid IS NOT NULL
  LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  WHERE NOT l.granted
  ORDER BY l.pid
), blocking AS (
  SELECT pid
  FROM waiting
  UNION
  SELECT pg_catalog.unnest(blocked_by)
  FROM waiting
), concerned AS MATERIALIZED (
  SELECT b.pid AS process, a.*, w.mode, w.waitstart, w.object, w.blocked_by
  FROM blocking AS b
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid
  LEFT JOIN waiting AS w ON w.pid = b.pid
)
SELECT pg_catalog.jsonb_build_object('sessions', COALESCE((
  SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('pid', process, 'blocked_by', COALESCE((
    SELECT pg_catalog.jsonb_agg(DISTINCT blocker)
    FROM pg_catalog.unnest(blocked_by) AS blocker
  ), '[]'), 'waits_for', mode || ' on ' || object, 'wait_seconds', EXTRACT(epoch FROM pg_catalog.clock_timestamp()
      - waitstart), 'role', usename, 'application', application_name, 'state', CASE process WHEN 0 THEN
      'prepared transaction' ELSE state END, 'transaction_seconds', EXTRACT(epoch FROM pg_catalog.clock_timestamp()
      - xact_start), 'query', NULLIF(query, '<insufficient privilege>')))
  FROM concerned
), '[]'), 'hidden', (
  SELECT pg_catalog.count(*)
  FROM concerned
  WHERE query = '<insufficient privilege>'
))::pg_catalog.text AS document
