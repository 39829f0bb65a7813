-- The design checks how long a run took but not that it ended after it began. The check binds new rows here;
-- the next migration looks at the rows that are there, in a transaction that locks nobody out.
SET LOCAL lock_timeout = '5s';

ALTER TABLE analysis.analyses ADD CONSTRAINT check_completed_after_started
  CHECK (completed_at >= started_at) NOT VALID;

ALTER TABLE setup.setup_sessions ADD CONSTRAINT check_completed_after_started
  CHECK (completed_at >= started_at) NOT VALID;

ALTER TABLE setup.setup_steps ADD CONSTRAINT check_completed_after_started
  CHECK (completed_at >= started_at) NOT VALID;
