-- log_archive_drop
-- ()
DO $$ DECLARE parent REGCLASS := 'audit.audit_logs'::pg_catalog.regclass; rest REGCLASS; other RECORD; old
    NAME; BEGIN FOR try IN 1..5 LOOP BEGIN
SET LOCAL lock_timeout = '1s';
SELECT partdefid INTO rest
FROM pg_catalog.pg_partitioned_table
WHERE partrelid = parent
AND partdefid <> 0; PERFORM pg_catalog.pg_advisory_xact_lock( pg_catalog.hashtext('audit.create_monthly_partition'),
    parent::oid::integer); ALTER TABLE audit.audit_logs ATTACH PARTITION audit.audit_logs_2024_01 FOR
VALUES
FROM ('2024-01-01 00:00:00.000000+00') TO ('2024-02-01 00:00:00.000000+00'); ALTER TABLE audit.audit_logs_2024_01
    DROP CONSTRAINT within_month; RETURN; EXCEPTION WHEN lock_not_available OR deadlock_detected THEN IF try =
    5 THEN RAISE; END IF; PERFORM pg_catalog.pg_sleep(0.1 * try); END; END LOOP; END $$
