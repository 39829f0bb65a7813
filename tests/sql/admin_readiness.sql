-- admin_readiness
-- ()
SELECT pg_catalog.jsonb_build_object('settings', (
  SELECT pg_catalog.jsonb_object_agg(name, pg_catalog.jsonb_build_object('value', setting, 'unit', unit,
      'waits_for_restart', pending_restart))
  FROM pg_catalog.pg_settings
  WHERE name IN ('pg_stat_statements.max', 'track_io_timing', 'track_counts', 'autovacuum',
      'log_min_duration_statement', 'log_line_prefix', 'log_statement', 'log_duration', 'log_error_verbosity',
      'lc_messages', 'log_checkpoints', 'log_lock_waits', 'log_temp_files', 'log_autovacuum_min_duration',
      'log_connections', 'log_disconnections', 'log_parameter_max_length', 'log_parameter_max_length_on_error',
      'statement_timeout', 'idle_in_transaction_session_timeout', 'max_slot_wal_keep_size', 'fsync',
      'full_page_writes', 'synchronous_commit', 'data_checksums', 'wal_level', 'archive_mode',
      'archive_timeout', 'wal_compression', 'summarize_wal', 'password_encryption', 'ssl')
), 'extensions', COALESCE((
  SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', extname, 'version', extversion, 'schema',
      nspname, 'is_trusted', COALESCE((
    SELECT trusted
    FROM pg_catalog.pg_available_extension_versions AS v
    WHERE v.name = extname
    AND v.version = extversion
  ), false)) ORDER BY extname)
  FROM pg_catalog.pg_extension
  JOIN pg_catalog.pg_namespace AS n ON n.oid = extnamespace
), '[]'), 'archived', last_archived_time, 'failed', last_failed_time, 'failures', failed_count)::pg_catalog.text
    AS document
FROM pg_catalog.pg_stat_archiver
