-- after_restore_search_path
-- ()
SELECT pg_catalog.substr(one, pg_catalog.strpos(one, '=') + 1) AS name
FROM pg_catalog.pg_db_role_setting AS s, pg_catalog.unnest(s.setconfig) AS one
WHERE s.setrole = 0
AND one LIKE 'search\_path=%'
AND s.setdatabase = (
  SELECT oid
  FROM pg_catalog.pg_database
  WHERE datname = pg_catalog.current_database()
)
