-- lock_project_of_analysis
-- (uuid)
SELECT p.id
FROM public.projects AS p
WHERE p.id = (
  SELECT a.project_id
  FROM analysis.analyses AS a
  WHERE a.id = $1
)
FOR NO KEY UPDATE
