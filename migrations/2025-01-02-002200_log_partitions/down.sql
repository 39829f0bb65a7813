-- The default partition becomes the plain table again and receives the rows of all others,
-- including those of children by inheritance that were attached. Fails if two months contain the
-- same id, since a key of id alone does not allow that.
SET LOCAL lock_timeout = '5s';

LOCK TABLE public.users, public.organizations, audit.audit_logs, audit.system_logs
  IN ACCESS EXCLUSIVE MODE;

ALTER TABLE audit.audit_logs DETACH PARTITION audit.audit_logs_default;
ALTER TABLE audit.system_logs DETACH PARTITION audit.system_logs_default;

DO $$
DECLARE
  log_table TEXT;
  column_names TEXT;
BEGIN
  FOREACH log_table IN ARRAY ARRAY['audit_logs', 'system_logs'] LOOP
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO column_names
    FROM pg_attribute
    WHERE attrelid = format('audit.%I', log_table)::REGCLASS AND attnum > 0 AND NOT attisdropped;
    EXECUTE format('INSERT INTO audit.%1$I (%3$s) SELECT %3$s FROM audit.%2$I',
      log_table || '_default', log_table, column_names);
  END LOOP;
END
$$;

DROP TABLE audit.system_logs;
ALTER TABLE audit.system_logs_default
  DROP CONSTRAINT system_logs_default_pkey,
  ADD CONSTRAINT system_logs_pkey PRIMARY KEY (id);
ALTER INDEX audit.system_logs_default_user_id_idx RENAME TO idx_system_logs_user_id;
ALTER INDEX audit.system_logs_default_created_at_idx RENAME TO idx_system_logs_created_at;
ALTER INDEX audit.system_logs_default_correlation_id_idx RENAME TO idx_system_logs_correlation_id;
ALTER INDEX audit.system_logs_default_service_idx RENAME TO idx_system_logs_service;
ALTER INDEX audit.system_logs_default_level_idx RENAME TO idx_system_logs_level;
ALTER TABLE audit.system_logs_default RENAME TO system_logs;

DROP TABLE audit.audit_logs;
ALTER TABLE audit.audit_logs_default
  DROP CONSTRAINT audit_logs_default_pkey,
  ADD CONSTRAINT audit_logs_pkey PRIMARY KEY (id);
ALTER INDEX audit.audit_logs_default_organization_id_created_at_id_idx
  RENAME TO idx_audit_logs_org_created_id;
ALTER INDEX audit.audit_logs_default_created_at_idx RENAME TO idx_audit_logs_created_at;
ALTER INDEX audit.audit_logs_default_resource_type_resource_id_idx RENAME TO idx_audit_logs_resource;
ALTER INDEX audit.audit_logs_default_action_idx RENAME TO idx_audit_logs_action;
ALTER INDEX audit.audit_logs_default_organization_id_idx RENAME TO idx_audit_logs_org_id;
ALTER INDEX audit.audit_logs_default_user_id_idx RENAME TO idx_audit_logs_user_id;
ALTER TABLE audit.audit_logs_default RENAME TO audit_logs;
