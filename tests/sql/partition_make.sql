-- partition_make
-- (text, date, text)
WITH limits AS MATERIALIZED (
  SELECT pg_catalog.set_config( 'lock_timeout', COALESCE($3, pg_catalog.current_setting('lock_timeout')), true)
      AS lock_timeout
)
SELECT pg_catalog.count(audit.create_monthly_partition($1, $2) IS NULL) AS number
FROM limits
WHERE lock_timeout IS NOT NULL
