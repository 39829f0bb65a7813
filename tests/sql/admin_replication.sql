-- admin_replication
-- ()
WITH here AS MATERIALIZED (
  SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn()
      END AS lsn
)
SELECT pg_catalog.jsonb_build_object('is_standby', pg_catalog.pg_is_in_recovery(), 'replay_delay_seconds',
    CASE WHEN pg_catalog.pg_is_in_recovery() AND pg_catalog.pg_last_wal_receive_lsn() IS DISTINCT FROM
    pg_catalog.pg_last_wal_replay_lsn() THEN EXTRACT(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())
    END, 'standbys', COALESCE((
  SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('application', application_name, 'client',
      pg_catalog.host(client_addr), 'state', state, 'sync_state', sync_state, 'lag_bytes', GREATEST(pg_catalog.pg_wal_lsn_diff((
    SELECT lsn
    FROM here
  ), replay_lsn), 0), 'lag_seconds', EXTRACT(epoch FROM replay_lag)) ORDER BY application_name, pid)
  FROM pg_catalog.pg_stat_replication
), '[]'), 'slots', COALESCE((
  SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', slot_name, 'kind', slot_type, 'is_active',
      active, 'wal_status', wal_status, 'retained_bytes', GREATEST(pg_catalog.pg_wal_lsn_diff((
    SELECT lsn
    FROM here
  ), restart_lsn), 0), 'xmin_age', GREATEST(pg_catalog.age(xmin), pg_catalog.age(catalog_xmin))) ORDER BY
      slot_name)
  FROM pg_catalog.pg_replication_slots
), '[]'), 'hidden', (
  SELECT pg_catalog.count(*)
  FROM pg_catalog.pg_stat_replication
  WHERE state IS NULL
))::pg_catalog.text AS document
