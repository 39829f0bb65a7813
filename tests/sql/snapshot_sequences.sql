-- snapshot_sequences
-- ()
WITH schemas AS MATERIALIZED (
  SELECT oid, nspname, nspowner, nspacl
  FROM pg_catalog.pg_namespace
  WHERE nspname <> 'information_schema'
  AND nspname NOT LIKE 'pg\_%'
), members AS MATERIALIZED (
  SELECT classid, objid
  FROM pg_catalog.pg_depend
  WHERE deptype = 'e'
), relations AS MATERIALIZED (
  SELECT c.oid, c.relkind, c.relowner, c.relacl, c.reloptions, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
      c.relreplident, c.relispartition, c.relpartbound, c.relispopulated, pg_catalog.format('%I.%I', s.nspname,
      c.relname) AS name
  FROM pg_catalog.pg_class AS c
  JOIN schemas AS s ON s.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  AND c.relpersistence <> 't'
  AND NOT EXISTS (
    SELECT
    FROM members AS m
    WHERE m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND m.objid = c.oid
  )
)
SELECT name, pg_catalog.pg_sequence_last_value(oid) AS value
FROM relations
WHERE relkind = 'S'
