-- states_of_analyses
-- (uuid[], uuid)
SELECT a.id, a.project_id, a.type, a.status, a.progress, (
  SELECT pg_catalog.count(*)
  FROM analysis.analysis_issues AS i
  WHERE i.analysis_id = a.id
)
FROM analysis.analyses AS a
WHERE a.id = ANY ((
  SELECT $1
)::pg_catalog.uuid[])
AND a.project_id = COALESCE($2, a.project_id)
