-- setup_sessions.cancel
-- (uuid)
WITH session AS MATERIALIZED (
  SELECT id, status, started_at
  FROM setup.setup_sessions
  WHERE id = $1
  AND status IN ('pending', 'running')
  FOR NO KEY UPDATE
), step AS MATERIALIZED (
  SELECT s.id, s.name, s.step_order, s.status, s.error_message
  FROM setup.setup_steps AS s
  JOIN session ON session.id = s.session_id
  FOR NO KEY UPDATE OF s
), skipped AS (
  UPDATE setup.setup_steps
  SET status = 'skipped', completed_at = GREATEST(pg_catalog.now(), setup_steps.started_at), duration_seconds
      = CASE WHEN setup_steps.started_at IS NOT NULL THEN LEAST(GREATEST(EXTRACT(EPOCH FROM GREATEST(pg_catalog.now(),
      setup_steps.started_at) - setup_steps.started_at), 1), 2147483647)::integer END
  FROM step
  WHERE setup_steps.id = step.id
  AND step.status IN ('pending', 'running')
)
UPDATE setup.setup_sessions
SET status = 'cancelled', current_step = NULL, completed_at = CASE WHEN session.started_at IS NOT NULL THEN
    GREATEST(pg_catalog.now(), session.started_at) END, duration_seconds = CASE WHEN session.started_at IS NOT
    NULL THEN LEAST(GREATEST(EXTRACT(EPOCH FROM GREATEST(pg_catalog.now(), session.started_at) - session.started_at),
    1), 2147483647)::integer END
FROM session
WHERE setup_sessions.id = session.id
RETURNING "setup"."setup_sessions"."id", "setup"."setup_sessions"."profile_id", "setup"."setup_sessions"."user_id",
    "setup"."setup_sessions"."status", "setup"."setup_sessions"."progress", "setup"."setup_sessions"."current_step",
    "setup"."setup_sessions"."configuration", "setup"."setup_sessions"."logs", "setup"."setup_sessions"."error_message",
    "setup"."setup_sessions"."started_at", "setup"."setup_sessions"."completed_at", "setup"."setup_sessions"."duration_seconds",
    "setup"."setup_sessions"."created_at"
