-- setup_steps.append_log
-- (text, uuid)
UPDATE setup.setup_steps
SET logs = COALESCE(logs, '') || $1
WHERE id = $2
