-- copy_defaults_of_analysis_issues
-- ()
SELECT pg_catalog.record_send(ROW(pg_catalog.current_setting('transaction_read_only') = 'off' AND pg_catalog.has_table_privilege(target,
    'INSERT') AND NOT pg_catalog.row_security_active(target), COALESCE("none"."status", 'open'), COALESCE("none"."created_at",
    now())))
FROM (
  SELECT (NULL::"analysis"."analysis_issues").*
) AS "none", CAST('"analysis"."analysis_issues"' AS pg_catalog.regclass) AS target
