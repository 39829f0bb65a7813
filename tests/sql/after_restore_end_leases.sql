-- ()
DELETE FROM analysis.analysis_leases
