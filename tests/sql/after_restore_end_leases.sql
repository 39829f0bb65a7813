-- after_restore_end_leases
-- ()
DELETE FROM analysis.analysis_leases
