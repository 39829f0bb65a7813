-- db.health
-- ()
SELECT current_setting('server_version_num')::integer AS server_version, pg_catalog.pg_is_in_recovery() AS
    is_standby
