-- A database may have been migrated while another role could create objects in a schema of the
-- search_path. It may then have indexes, constraints, views, defaults or functions that call that
-- role's code. This migration reports them. Trusted code belongs to the migrating role, a role that
-- it is a member of, the owner of the database, a superuser, or an extension.
DO $$
DECLARE
  foreign_code TEXT;
BEGIN
  WITH RECURSIVE trusted AS (
    SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user
    UNION
    SELECT m.roleid FROM trusted JOIN pg_catalog.pg_auth_members AS m ON m.member = trusted.oid
  ), code AS (
    SELECT 'pg_catalog.pg_proc'::REGCLASS AS classid, oid, proowner AS owner FROM pg_catalog.pg_proc
    UNION ALL
    SELECT 'pg_catalog.pg_operator'::REGCLASS, oid, oprowner FROM pg_catalog.pg_operator
    UNION ALL
    SELECT 'pg_catalog.pg_opclass'::REGCLASS, oid, opcowner FROM pg_catalog.pg_opclass
  ), used AS (
    SELECT d.classid, d.objid, code.classid AS code_class, code.oid AS code_id, code.owner,
      CASE d.classid
        WHEN 'pg_catalog.pg_class'::REGCLASS THEN COALESCE(
          (SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid = d.objid), d.objid)
        WHEN 'pg_catalog.pg_constraint'::REGCLASS THEN
          (SELECT conrelid FROM pg_catalog.pg_constraint WHERE oid = d.objid)
        WHEN 'pg_catalog.pg_rewrite'::REGCLASS THEN
          (SELECT ev_class FROM pg_catalog.pg_rewrite WHERE oid = d.objid)
        WHEN 'pg_catalog.pg_attrdef'::REGCLASS THEN
          (SELECT adrelid FROM pg_catalog.pg_attrdef WHERE oid = d.objid)
        WHEN 'pg_catalog.pg_trigger'::REGCLASS THEN
          (SELECT tgrelid FROM pg_catalog.pg_trigger WHERE oid = d.objid)
        WHEN 'pg_catalog.pg_policy'::REGCLASS THEN
          (SELECT polrelid FROM pg_catalog.pg_policy WHERE oid = d.objid)
      END AS relation,
      CASE d.classid WHEN 'pg_catalog.pg_proc'::REGCLASS THEN
        (SELECT pronamespace FROM pg_catalog.pg_proc WHERE oid = d.objid)
      END AS function_schema
    FROM pg_catalog.pg_depend AS d
    JOIN code ON code.classid = d.refclassid AND code.oid = d.refobjid
    WHERE d.deptype <> 'e'
  )
  SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('%s uses %s of %s',
    pg_catalog.pg_describe_object(used.classid, used.objid, 0),
    pg_catalog.pg_describe_object(used.code_class, used.code_id, 0),
    r.rolname), '; ') INTO foreign_code
  FROM used
  JOIN pg_catalog.pg_roles AS r ON r.oid = used.owner
  LEFT JOIN pg_catalog.pg_class AS c ON c.oid = used.relation
  JOIN pg_catalog.pg_namespace AS n ON n.oid = COALESCE(c.relnamespace, used.function_schema)
  WHERE (n.nspname IN ('analysis', 'setup', 'audit', 'cache')
      OR n.nspname = 'public' AND c.relname IN ('users', 'user_sessions', 'organizations',
        'organization_members', 'projects', 'project_members'))
    AND NOT r.rolsuper
    AND r.oid NOT IN (SELECT oid FROM trusted)
    AND r.oid <> (SELECT datdba FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend AS e
      WHERE e.classid = used.code_class AND e.objid = used.code_id AND e.deptype = 'e'
    );
  IF foreign_code IS NOT NULL THEN
    RAISE EXCEPTION 'code of other roles would be run: %', foreign_code
      USING ERRCODE = 'object_not_in_prerequisite_state',
        HINT = 'Drop these and create them again with qualified names, then migrate again.';
  END IF;
END
$$;
