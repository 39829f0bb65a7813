SET LOCAL lock_timeout = '5s';

ALTER TABLE setup.setup_steps DROP CONSTRAINT check_completed_after_started;
ALTER TABLE setup.setup_sessions DROP CONSTRAINT check_completed_after_started;
ALTER TABLE analysis.analyses DROP CONSTRAINT check_completed_after_started;
