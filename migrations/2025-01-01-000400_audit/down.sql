DROP TABLE audit.system_logs;
DROP TABLE audit.audit_logs;

DROP TYPE audit.log_level;
DROP TYPE audit.audit_action;

-- The schema may hold things that are not ours.
DO $$
BEGIN
  DROP SCHEMA audit;
EXCEPTION WHEN dependent_objects_still_exist THEN
  RAISE NOTICE 'schema audit is kept: it is not empty';
END
$$;
