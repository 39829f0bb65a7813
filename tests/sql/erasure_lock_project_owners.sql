-- erasure_lock_project_owners
-- (uuid)
SELECT m.id
FROM public.project_members AS m
WHERE m.role = 'owner'
AND m.project_id IN (
  SELECT o.project_id
  FROM public.project_members AS o
  WHERE o.user_id = $1
  AND o.role = 'owner'
)
ORDER BY m.id
FOR UPDATE
