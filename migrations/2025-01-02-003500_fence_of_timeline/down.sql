-- Later fences are less than those before.
SET LOCAL lock_timeout = '5s';

DROP TRIGGER trg_analysis_leases_fence ON analysis.analysis_leases;
DROP FUNCTION analysis.raise_fence();
