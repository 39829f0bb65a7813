-- admin_activity
-- ()
WITH of_database AS MATERIALIZED (
  SELECT *
  FROM pg_catalog.pg_stat_activity
  WHERE datname = pg_catalog.current_database()
  AND pid <> pg_catalog.pg_backend_pid()
  AND (backend_type = 'client backend' OR (backend_type IS NULL AND usesysid IS NOT NULL))
), horizons AS (
  SELECT 'session' AS kind, pid::pg_catalog.text AS name, pg_catalog.age(backend_xmin) AS age
  FROM pg_catalog.pg_stat_activity
  WHERE backend_xmin IS NOT NULL
  AND pid <> pg_catalog.pg_backend_pid()
  UNION ALL
  SELECT 'prepared transaction', gid, pg_catalog.age(transaction)
  FROM pg_catalog.pg_prepared_xacts
  UNION ALL
  SELECT 'replication slot', slot_name::pg_catalog.text, GREATEST(pg_catalog.age(xmin), pg_catalog.age(catalog_xmin))
  FROM pg_catalog.pg_replication_slots
  WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL
  ORDER BY 3 DESC
  LIMIT 10
)
SELECT pg_catalog.jsonb_build_object('sessions', COALESCE((
  SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('pid', pid, 'role', usename, 'application',
      application_name, 'client', pg_catalog.host(client_addr), 'state', state, 'wait', wait_event_type || '/'
      || wait_event, 'transaction_seconds', EXTRACT(epoch FROM pg_catalog.clock_timestamp() - xact_start),
      'state_seconds', EXTRACT(epoch FROM pg_catalog.clock_timestamp() - state_change), 'xmin_age', GREATEST(pg_catalog.age(backend_xmin),
      0), 'query', NULLIF(query, '<insufficient privilege>')) ORDER BY xact_start, pid)
  FROM of_database
), '[]'), 'connections', (
  SELECT pg_catalog.sum(numbackends)
  FROM pg_catalog.pg_stat_database
), 'max_connections', pg_catalog.current_setting('max_connections')::pg_catalog.int4 - pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int4
    - COALESCE(pg_catalog.current_setting('reserved_connections', true)::pg_catalog.int4, 0), 'horizons',
    COALESCE((
  SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('kind', kind, 'name', name, 'age', GREATEST(age, 0))
      ORDER BY age DESC)
  FROM horizons
), '[]'), 'hidden', (
  SELECT pg_catalog.count(*)
  FROM of_database
  WHERE query = '<insufficient privilege>'
))::pg_catalog.text AS document
