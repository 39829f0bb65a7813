SET LOCAL lock_timeout = '5s';

DROP TRIGGER trg_analyses_notify_update ON analysis.analyses;
DROP TRIGGER trg_analyses_notify ON analysis.analyses;
DROP FUNCTION analysis.notify_analysis();
