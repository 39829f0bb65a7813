-- The design checks the duration of a run, but not that its end is after its start. The check
-- applies to new rows here. The next migration validates the existing rows, in a transaction that
-- blocks no reads and writes.
SET LOCAL lock_timeout = '5s';

ALTER TABLE analysis.analyses ADD CONSTRAINT check_completed_after_started
  CHECK (completed_at >= started_at) NOT VALID;

ALTER TABLE setup.setup_sessions ADD CONSTRAINT check_completed_after_started
  CHECK (completed_at >= started_at) NOT VALID;

ALTER TABLE setup.setup_steps ADD CONSTRAINT check_completed_after_started
  CHECK (completed_at >= started_at) NOT VALID;
