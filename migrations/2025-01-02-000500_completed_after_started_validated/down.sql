-- A check cannot be set to NOT VALID again: it is dropped and created again.
SET LOCAL lock_timeout = '5s';

ALTER TABLE analysis.analyses DROP CONSTRAINT check_completed_after_started;
ALTER TABLE analysis.analyses ADD CONSTRAINT check_completed_after_started
  CHECK (completed_at >= started_at) NOT VALID;

ALTER TABLE setup.setup_sessions DROP CONSTRAINT check_completed_after_started;
ALTER TABLE setup.setup_sessions ADD CONSTRAINT check_completed_after_started
  CHECK (completed_at >= started_at) NOT VALID;

ALTER TABLE setup.setup_steps DROP CONSTRAINT check_completed_after_started;
ALTER TABLE setup.setup_steps ADD CONSTRAINT check_completed_after_started
  CHECK (completed_at >= started_at) NOT VALID;
