-- followed_analyses
-- (timestamptz, uuid, uuid)
WITH followed AS MATERIALIZED (
  SELECT id, project_id
  FROM analysis.analyses
  WHERE status IN ('pending', 'running') OR created_at <= 'infinity'
  AND created_at >= $1
)
SELECT id
FROM followed
WHERE project_id = COALESCE($2, project_id)
AND id > COALESCE($3, '00000000-0000-0000-0000-000000000000')
ORDER BY id
LIMIT 500
