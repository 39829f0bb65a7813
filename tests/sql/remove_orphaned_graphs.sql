-- remove_orphaned_graphs
-- (int8)
DELETE FROM analysis.dependency_graphs
WHERE id = ANY (ARRAY(
  SELECT g.id
  FROM analysis.dependency_graphs AS g
  WHERE g.analysis_id IS NULL
  AND EXISTS (
    SELECT
    FROM analysis.dependency_graphs AS n
    WHERE n.project_id = g.project_id
    AND (n.created_at, n.id) > (g.created_at, g.id)
  )
  LIMIT $1
  FOR UPDATE OF g SKIP LOCKED
))
