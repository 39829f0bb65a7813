-- partition_is_there
-- (text, text, bool)
SELECT pg_catalog.to_regclass($2) IS NOT NULL
AND (NOT $3 OR EXISTS (
  SELECT
  FROM pg_catalog.pg_inherits
  WHERE inhparent = $1::regclass
  AND inhrelid = pg_catalog.to_regclass($2)
)) AS yes
