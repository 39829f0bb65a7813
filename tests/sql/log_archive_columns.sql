-- log_archive_columns
-- (text)
SELECT pg_catalog.array_agg(attname::text ORDER BY attnum) AS columns
FROM pg_catalog.pg_attribute
WHERE attrelid = pg_catalog.to_regclass($1)
AND attnum > 0
AND NOT attisdropped
AND attgenerated = ''
