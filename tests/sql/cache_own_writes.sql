-- cache_own_writes
-- ()
WITH RECURSIVE held AS MATERIALIZED (
  SELECT locktype, relation, classid, objid
  FROM pg_catalog.pg_locks
  WHERE pid = pg_catalog.pg_backend_pid()
  AND locktype IN ('relation', 'advisory')
  AND mode NOT IN ('AccessShareLock', 'RowShareLock')
), written (relation) AS (
  SELECT relation
  FROM held
  WHERE locktype = 'relation'
  UNION
  SELECT child.inhparent
  FROM pg_catalog.pg_inherits AS child
  JOIN written ON written.relation = child.inhrelid
), cached AS (
  SELECT class.oid, name, pg_catalog.age(space.xmin) > 0 AS is_known
  FROM (VALUES ('public.users'), ('public.user_sessions'), ('public.organizations'), ('public.organization_members'),
      ('public.projects'), ('public.project_members'), ('setup.configurations'), ('setup.setup_profiles'), ('setup.tools'),
      ('analysis.analyses')) AS listed (name)
  LEFT JOIN pg_catalog.pg_namespace AS space ON space.nspname = pg_catalog.split_part(name, '.', 1)::pg_catalog.name
  LEFT JOIN pg_catalog.pg_class AS class ON class.relnamespace = space.oid
  AND class.relname = pg_catalog.split_part(name, '.', 2)::pg_catalog.name
)
SELECT pg_catalog.pg_current_xact_id_if_assigned()::text AS id, CASE WHEN pg_catalog.pg_is_in_recovery() THEN
    NULL ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) END AS timeline,
    EXISTS (
  SELECT
  FROM held
  WHERE locktype = 'advisory'
  AND classid = 2004184676
  AND objid = 1919181428
)
AND (
  SELECT pg_catalog.bool_and(is_known AND oid IS NOT NULL)
  FROM cached
) AS is_known, ARRAY(
  SELECT name
  FROM cached
  WHERE oid IN (
    SELECT relation
    FROM written
  )
) AS written
