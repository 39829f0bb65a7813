-- erasure_only_project_owner
-- (uuid)
SELECT m.project_id AS id
FROM public.project_members AS m
WHERE m.user_id = $1
AND m.role = 'owner'
AND NOT EXISTS (
  SELECT
  FROM public.project_members AS o
  WHERE o.project_id = m.project_id
  AND o.role = 'owner'
  AND o.user_id <> $1
)
ORDER BY 1
