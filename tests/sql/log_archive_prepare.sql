-- log_archive_drop
-- ()
DO $$ BEGIN
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '2s';
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO, YMD';
SET LOCAL IntervalStyle = 'postgres';
SET LOCAL extra_float_digits = 1;
SET LOCAL bytea_output = 'hex'; END $$
