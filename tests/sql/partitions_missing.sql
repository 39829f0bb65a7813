-- partitions_missing
-- (text, date, int4)
WITH months AS (
  SELECT pg_catalog.date_trunc('month', COALESCE($2::timestamp, pg_catalog.timezone('UTC', pg_catalog.now())))
      + pg_catalog.make_interval(months => ahead) AS month
  FROM pg_catalog.generate_series(0, $3) AS ahead
)
SELECT month::date AS month, month > pg_catalog.timezone('UTC', pg_catalog.now()) + INTERVAL '1 day' AS
    is_ahead, month + INTERVAL '1 month 1 day' < pg_catalog.timezone('UTC', pg_catalog.now()) AS is_past
FROM months
WHERE NOT EXISTS (
  SELECT
  FROM pg_catalog.pg_inherits
  WHERE inhparent = $1::regclass
  AND inhrelid = pg_catalog.to_regclass($1 || pg_catalog.to_char(month, '_YYYY_MM'))
)
ORDER BY month
