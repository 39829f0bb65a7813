-- erasure_system_log
-- (uuid, text, text)
UPDATE audit.system_logs AS l
SET user_id = NULLIF(l.user_id, $1), message = pg_catalog.regexp_replace(l.message, $2, '[erased]', 'gi'),
    data = pg_catalog.regexp_replace(l.data::text, $3, '[erased]', 'gi')::jsonb
WHERE l.user_id = $1 OR l.message ~* $2 OR l.data::text ~* $3
