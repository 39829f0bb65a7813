-- setup_sessions.append_log
-- (jsonb, uuid)
UPDATE setup.setup_sessions
SET logs = CASE WHEN logs = 'null' THEN '[]' ELSE logs END || $1
WHERE id = $2
