-- audit_logs.seal
-- ()
SELECT NOT pg_catalog.row_security_active('audit.audit_logs'::pg_catalog.regclass) AS yes
