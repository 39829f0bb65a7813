SET LOCAL lock_timeout = '5s';

DROP TRIGGER trg_analyses_end_lease ON analysis.analyses;
DROP FUNCTION analysis.end_lease();
DROP TABLE analysis.analysis_leases;
