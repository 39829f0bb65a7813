-- setup_steps.start
-- (uuid, uuid)
WITH session AS MATERIALIZED (
  SELECT id, status, started_at
  FROM setup.setup_sessions
  WHERE id = (
    SELECT session_id
    FROM setup.setup_steps
    WHERE id = $1
  )
  FOR NO KEY UPDATE
), step AS MATERIALIZED (
  SELECT s.id, s.name, s.step_order, s.status, s.error_message
  FROM setup.setup_steps AS s
  JOIN session ON session.id = s.session_id
  FOR NO KEY UPDATE OF s
), taken AS (
  UPDATE setup.setup_steps
  SET status = 'running', error_message = NULL, started_at = pg_catalog.now(), completed_at = NULL,
      duration_seconds = NULL
  FROM session, step
  WHERE setup_steps.id = step.id
  AND step.id = $2
  AND step.status IN ('pending')
  AND session.status IN ('running')
  RETURNING "setup"."setup_steps"."id", "setup"."setup_steps"."session_id", "setup"."setup_steps"."name",
      "setup"."setup_steps"."description", "setup"."setup_steps"."step_order", "setup"."setup_steps"."tool_name",
      "setup"."setup_steps"."command", "setup"."setup_steps"."status", "setup"."setup_steps"."logs", "setup"."setup_steps"."error_message",
      "setup"."setup_steps"."started_at", "setup"."setup_steps"."completed_at", "setup"."setup_steps"."duration_seconds",
      "setup"."setup_steps"."created_at"
), current AS (
  SELECT step.id, step.name, step.step_order, CASE WHEN taken.id IS NULL THEN step.status ELSE taken.status
      END AS status, CASE WHEN taken.id IS NULL THEN step.error_message ELSE taken.error_message END AS
      error_message
  FROM step
  LEFT JOIN taken ON taken.id = step.id
), state AS (
  SELECT session.id, steps.current_step, steps.error_message, CASE WHEN steps.total = 0 THEN 100 ELSE 100 *
      steps.done / steps.total END::integer AS progress, CASE WHEN session.status = 'pending' THEN session.started_at
      ELSE COALESCE(session.started_at, pg_catalog.now() - INTERVAL '1 second') END AS started_at, (CASE WHEN
      session.status = 'pending' THEN 'pending' WHEN steps.has_failed THEN 'failed' WHEN steps.done = steps.total
      THEN 'completed' ELSE 'running' END)::setup.session_status AS status
  FROM session
  CROSS JOIN (
    SELECT pg_catalog.count(*) AS total, pg_catalog.count(*) FILTER (WHERE status IN ('completed', 'skipped'))
        AS done, pg_catalog.bool_or(status = 'failed') AS has_failed, (pg_catalog.array_agg(name ORDER BY
        step_order, id) FILTER (WHERE status = 'running'))[1] AS current_step, (pg_catalog.array_agg(error_message
        ORDER BY step_order, id) FILTER (WHERE status = 'failed'))[1] AS error_message
    FROM current
  ) AS steps
), followed AS (
  UPDATE setup.setup_sessions
  SET progress = state.progress, current_step = state.current_step, status = state.status, error_message =
      CASE WHEN state.status = 'failed' THEN state.error_message END, started_at = state.started_at,
      completed_at = CASE WHEN state.status IN ('completed', 'failed') THEN GREATEST(pg_catalog.now(), state.started_at)
      END, duration_seconds = CASE WHEN state.status IN ('completed', 'failed') THEN LEAST(GREATEST(EXTRACT(EPOCH
      FROM GREATEST(pg_catalog.now(), state.started_at) - state.started_at), 1), 2147483647)::integer END
  FROM state
  WHERE setup_sessions.id = state.id
  AND EXISTS (
    SELECT
    FROM taken
  )
)
SELECT *
FROM taken
