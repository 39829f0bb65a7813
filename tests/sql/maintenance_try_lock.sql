-- maintenance_try_lock
-- (text)
SELECT pg_catalog.pg_try_advisory_xact_lock( pg_catalog.hashtext('wundr_db.maintenance'), pg_catalog.hashtext($1))
    AS yes
