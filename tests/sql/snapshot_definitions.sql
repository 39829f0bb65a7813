-- snapshot_definitions
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
) , functions AS MATERIALIZED (
  SELECT p.oid, p.prokind, p.proowner, p.proacl, pg_catalog.format('%I.%I(%s)', s.nspname, p.proname,
      pg_catalog.pg_get_function_identity_arguments(p.oid)) AS name
  FROM pg_catalog.pg_proc AS p
  JOIN schemas AS s ON s.oid = p.pronamespace
  WHERE NOT EXISTS (
    SELECT
    FROM members AS m
    WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    AND m.objid = p.oid
  )
), types AS MATERIALIZED (
  SELECT t.oid, t.typtype, t.typowner, t.typacl, t.typbasetype, t.typtypmod, t.typnotnull, t.typrelid,
      pg_catalog.format('%I.%I', s.nspname, t.typname) AS name
  FROM pg_catalog.pg_type AS t
  JOIN schemas AS s ON s.oid = t.typnamespace
  WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND EXISTS (
    SELECT
    FROM pg_catalog.pg_class AS c
    WHERE c.oid = t.typrelid
    AND c.relkind = 'c'
  ))
  AND NOT EXISTS (
    SELECT
    FROM members AS m
    WHERE m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
    AND m.objid = t.oid
  )
), acls AS MATERIALIZED (
  SELECT name, relowner AS owner, COALESCE(relacl, pg_catalog.acldefault( (CASE relkind WHEN 'S' THEN 's' ELSE
      'r' END)::"char", relowner)) AS acl
  FROM relations
  UNION ALL
  SELECT pg_catalog.format('%s.%I', r.name, a.attname), r.relowner, a.attacl
  FROM relations AS r
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid
  WHERE a.attacl IS NOT NULL
  AND a.attnum > 0
  AND NOT a.attisdropped
  UNION ALL
  SELECT 'schema ' || nspname, nspowner, COALESCE(nspacl, pg_catalog.acldefault('n', nspowner))
  FROM schemas
  UNION ALL
  SELECT name, proowner, COALESCE(proacl, pg_catalog.acldefault('f', proowner))
  FROM functions
  UNION ALL
  SELECT 'type ' || name, typowner, COALESCE(typacl, pg_catalog.acldefault('T', typowner))
  FROM types
)
SELECT 'table' AS aspect, r.name, pg_catalog.concat( CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN
    'table partitioned by ' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
    ELSE 'foreign table' END, pg_catalog.pg_get_partkeydef(r.oid), ' with (', pg_catalog.array_to_string(r.reloptions,
    ', '), ')', CASE r.relpersistence WHEN 'u' THEN ' unlogged' END, CASE WHEN r.relrowsecurity THEN
    ' row security' END, CASE WHEN r.relforcerowsecurity THEN ' forced' END, CASE WHEN r.relkind = 'm' AND NOT
    r.relispopulated THEN ' not populated' END, CASE WHEN r.relreplident IN ('f', 'n') THEN
    ' replica identity ' || r.relreplident::text END) AS definition
FROM relations AS r
UNION ALL
SELECT 'column', pg_catalog.format('%s.%I', r.name, a.attname), pg_catalog.concat( pg_catalog.row_number()
    OVER (PARTITION BY a.attrelid ORDER BY a.attnum), ' ', pg_catalog.format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attnotnull THEN ' not null' END, CASE WHEN a.attidentity <> '' THEN ' identity ' || a.attidentity::text
    END, CASE WHEN a.attgenerated <> '' THEN ' generated' END, ' default ' || pg_catalog.pg_get_expr(d.adbin,
    d.adrelid), CASE WHEN a.attcollation <> t.typcollation THEN ' collation ' || a.attcollation::pg_catalog.regcollation::text
    END, CASE WHEN a.attstorage <> t.typstorage THEN ' storage ' || a.attstorage::text END, CASE WHEN a.attcompression
    <> '' THEN ' compression ' || a.attcompression::text END, ' statistics ' || NULLIF(a.attstattarget, -1)::text,
    ' options ' || pg_catalog.array_to_string(a.attoptions, ', '))
FROM relations AS r
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid
AND d.adnum = a.attnum
WHERE a.attnum > 0
AND NOT a.attisdropped
AND r.relkind <> 'S'
UNION ALL
SELECT 'constraint', pg_catalog.format('%s: %I', COALESCE(r.name, t.name), c.conname), pg_catalog.concat(pg_catalog.pg_get_constraintdef(c.oid),
    CASE WHEN NOT c.convalidated THEN ' (not validated)' END)
FROM pg_catalog.pg_constraint AS c
LEFT JOIN relations AS r ON r.oid = c.conrelid
LEFT JOIN types AS t ON t.oid = c.contypid
WHERE COALESCE(r.name, t.name) IS NOT NULL
AND c.contype <> 'n'
UNION ALL
SELECT 'index', pg_catalog.format('%I.%I', s.nspname, c.relname), pg_catalog.concat( pg_catalog.pg_get_indexdef(i.indexrelid),
    CASE WHEN NOT i.indisvalid THEN ' (not valid)' END, CASE WHEN NOT i.indisready THEN ' (not ready)' END,
    CASE WHEN i.indisclustered THEN ' (clustered)' END, CASE WHEN i.indisreplident THEN ' (replica identity)'
    END)
FROM pg_catalog.pg_index AS i
JOIN relations AS r ON r.oid = i.indrelid
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN schemas AS s ON s.oid = c.relnamespace
UNION ALL
SELECT 'trigger', pg_catalog.format('%s: %I', r.name, t.tgname), pg_catalog.concat(pg_catalog.pg_get_triggerdef(t.oid),
    CASE t.tgenabled WHEN 'O' THEN NULL WHEN 'D' THEN ' (disabled)' ELSE pg_catalog.format(' (enabled %s)', t.tgenabled)
    END)
FROM pg_catalog.pg_trigger AS t
JOIN relations AS r ON r.oid = t.tgrelid
WHERE NOT t.tgisinternal
UNION ALL
SELECT 'trigger', r.name || ': foreign keys', pg_catalog.count(*) || ' triggers disabled'
FROM pg_catalog.pg_trigger AS t
JOIN relations AS r ON r.oid = t.tgrelid
WHERE t.tgisinternal
AND t.tgenabled <> 'O'
GROUP BY r.name
UNION ALL
SELECT 'trigger', e.evtname, pg_catalog.concat(e.evtevent, ' ', e.evtfoid::pg_catalog.regproc, ' ', e.evtenabled)
FROM pg_catalog.pg_event_trigger AS e
WHERE NOT EXISTS (
  SELECT
  FROM members AS m
  WHERE m.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass
  AND m.objid = e.oid
)
UNION ALL
SELECT 'partition', r.name, pg_catalog.concat(p.name, ' ', COALESCE(pg_catalog.pg_get_expr(r.relpartbound, r.oid),
    'inherited'), CASE WHEN i.inhdetachpending THEN ' (being detached)' END)
FROM pg_catalog.pg_inherits AS i
JOIN relations AS r ON r.oid = i.inhrelid
JOIN relations AS p ON p.oid = i.inhparent
UNION ALL
SELECT 'policy', pg_catalog.format('%s: %I', r.name, p.polname), pg_catalog.concat(p.polcmd, CASE WHEN NOT p.polpermissive
    THEN ' restrictive' END, ' to ', (
  SELECT pg_catalog.string_agg(CASE role WHEN 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(role)::text END,
      ', ' ORDER BY CASE role WHEN 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(role)::text END)
  FROM pg_catalog.unnest(p.polroles) AS role
), ' using ', pg_catalog.pg_get_expr(p.polqual, p.polrelid), ' with check ', pg_catalog.pg_get_expr(p.polwithcheck,
    p.polrelid))
FROM pg_catalog.pg_policy AS p
JOIN relations AS r ON r.oid = p.polrelid
UNION ALL
SELECT 'view', name, pg_catalog.md5(pg_catalog.pg_get_viewdef(oid))
FROM relations
WHERE relkind IN ('v', 'm')
UNION ALL
SELECT 'view', pg_catalog.format('%s: %I', r.name, w.rulename), pg_catalog.concat(pg_catalog.pg_get_ruledef(w.oid),
    ' ', w.ev_enabled)
FROM pg_catalog.pg_rewrite AS w
JOIN relations AS r ON r.oid = w.ev_class
WHERE w.rulename <> '_RETURN'
UNION ALL
SELECT 'function', name, CASE prokind WHEN 'a' THEN 'aggregate' ELSE pg_catalog.md5(pg_catalog.pg_get_functiondef(oid))
    END
FROM functions
UNION ALL
SELECT 'type', t.name, CASE t.typtype WHEN 'e' THEN 'enum ' || (
  SELECT pg_catalog.string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
  FROM pg_catalog.pg_enum AS e
  WHERE e.enumtypid = t.oid
) WHEN 'd' THEN pg_catalog.concat('domain ', pg_catalog.format_type(t.typbasetype, t.typtypmod), CASE WHEN t.typnotnull
    THEN ' not null' END) WHEN 'c' THEN 'composite ' || (
  SELECT pg_catalog.string_agg(pg_catalog.format('%I %s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)),
      ', ' ORDER BY a.attnum)
  FROM pg_catalog.pg_attribute AS a
  WHERE a.attrelid = t.typrelid
  AND a.attnum > 0
  AND NOT a.attisdropped
) ELSE 'range' END
FROM types AS t
UNION ALL
SELECT 'sequence', r.name, pg_catalog.format('%s from %s by %s between %s and %s cache %s cycle %s',
    pg_catalog.format_type(q.seqtypid, NULL), q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle)
FROM relations AS r
JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = r.oid
UNION ALL
SELECT 'statistics', pg_catalog.format('%I.%I', s.nspname, x.stxname), pg_catalog.pg_get_statisticsobjdef(x.oid)
FROM pg_catalog.pg_statistic_ext AS x
JOIN schemas AS s ON s.oid = x.stxnamespace
UNION ALL
SELECT 'extension', extname, extversion
FROM pg_catalog.pg_extension
UNION ALL
SELECT 'grant', pg_catalog.concat(acls.name, ' to ', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text
    END), pg_catalog.string_agg(DISTINCT pg_catalog.concat(a.privilege_type, CASE WHEN a.is_grantable THEN
    ' with grant option' END), ', ')
FROM acls
CROSS JOIN LATERAL pg_catalog.aclexplode(acls.acl) AS a
WHERE a.grantee <> acls.owner
GROUP BY acls.name, a.grantee
UNION ALL
SELECT 'default privilege', pg_catalog.concat(pg_catalog.pg_get_userbyid(d.defaclrole), ' in ' || d.defaclnamespace::pg_catalog.regnamespace::text,
    ' for ', d.defaclobjtype, ' to ', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text
    END), pg_catalog.string_agg(DISTINCT pg_catalog.concat(a.privilege_type, CASE WHEN a.is_grantable THEN
    ' with grant option' END), ', ')
FROM pg_catalog.pg_default_acl AS d
CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) AS a
GROUP BY d.oid, d.defaclrole, d.defaclnamespace, d.defaclobjtype, a.grantee
UNION ALL
SELECT 'owner', name, pg_catalog.pg_get_userbyid(relowner)::text
FROM relations
UNION ALL
SELECT 'owner', 'schema ' || nspname, pg_catalog.pg_get_userbyid(nspowner)::text
FROM schemas
UNION ALL
SELECT 'owner', name, pg_catalog.pg_get_userbyid(proowner)::text
FROM functions
UNION ALL
SELECT 'owner', 'type ' || name, pg_catalog.pg_get_userbyid(typowner)::text
FROM types
UNION ALL
SELECT 'setting', pg_catalog.concat(CASE WHEN s.setrole <> 0 THEN pg_catalog.pg_get_userbyid(s.setrole)::text
    || ': ' END, pg_catalog.split_part(one, '=', 1)), pg_catalog.substr(one, pg_catalog.strpos(one, '=') + 1)
FROM pg_catalog.pg_db_role_setting AS s
CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS one
WHERE s.setdatabase = (
  SELECT oid
  FROM pg_catalog.pg_database
  WHERE datname = pg_catalog.current_database()
)
UNION ALL
SELECT 'property', property.name, property.value
FROM pg_catalog.pg_database AS d, LATERAL (VALUES ('encoding', pg_catalog.pg_encoding_to_char(d.encoding)::text),
    ('collation', d.datcollate::text), ('character type', d.datctype::text), ('locale provider', d.datlocprovider::text))
    AS property (name, value)
WHERE d.datname = pg_catalog.current_database()
