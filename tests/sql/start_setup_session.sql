-- setup_sessions.start
-- (uuid)
WITH session AS MATERIALIZED (
  SELECT id, status, started_at
  FROM setup.setup_sessions
  WHERE id = $1
  AND status IN ('pending')
  FOR NO KEY UPDATE
), step AS MATERIALIZED (
  SELECT s.id, s.name, s.step_order, s.status, s.error_message
  FROM setup.setup_steps AS s
  JOIN session ON session.id = s.session_id
  FOR NO KEY UPDATE OF s
), current AS (
  SELECT *
  FROM step
), state AS (
  SELECT session.id, steps.current_step, steps.error_message, CASE WHEN steps.total = 0 THEN 100 ELSE 100 *
      steps.done / steps.total END::integer AS progress, pg_catalog.now() AS started_at, (CASE WHEN steps.has_failed
      THEN 'failed' WHEN steps.done = steps.total THEN 'completed' ELSE 'running' END)::setup.session_status
      AS status
  FROM session
  CROSS JOIN (
    SELECT pg_catalog.count(*) AS total, pg_catalog.count(*) FILTER (WHERE status IN ('completed', 'skipped'))
        AS done, pg_catalog.bool_or(status = 'failed') AS has_failed, (pg_catalog.array_agg(name ORDER BY
        step_order, id) FILTER (WHERE status = 'running'))[1] AS current_step, (pg_catalog.array_agg(error_message
        ORDER BY step_order, id) FILTER (WHERE status = 'failed'))[1] AS error_message
    FROM current
  ) AS steps
)
UPDATE setup.setup_sessions
SET progress = state.progress, current_step = state.current_step, status = state.status, error_message = CASE
    WHEN state.status = 'failed' THEN state.error_message END, started_at = state.started_at, completed_at =
    CASE WHEN state.status IN ('completed', 'failed') THEN GREATEST(pg_catalog.now(), state.started_at) END,
    duration_seconds = CASE WHEN state.status IN ('completed', 'failed') THEN LEAST(GREATEST(EXTRACT(EPOCH
    FROM GREATEST(pg_catalog.now(), state.started_at) - state.started_at), 1), 2147483647)::integer END
FROM state
WHERE setup_sessions.id = state.id
RETURNING "setup"."setup_sessions"."id", "setup"."setup_sessions"."profile_id", "setup"."setup_sessions"."user_id",
    "setup"."setup_sessions"."status", "setup"."setup_sessions"."progress", "setup"."setup_sessions"."current_step",
    "setup"."setup_sessions"."configuration", "setup"."setup_sessions"."logs", "setup"."setup_sessions"."error_message",
    "setup"."setup_sessions"."started_at", "setup"."setup_sessions"."completed_at", "setup"."setup_sessions"."duration_seconds",
    "setup"."setup_sessions"."created_at"
