-- after_restore_move_fences
-- ()
SELECT pg_catalog.setval(fences, COALESCE(pg_catalog.pg_sequence_last_value(fences), 0) + 1048576) AS number
FROM (
  SELECT pg_catalog.pg_get_serial_sequence('analysis.analysis_leases', 'fence')::pg_catalog.regclass
) AS sequence (fences)
