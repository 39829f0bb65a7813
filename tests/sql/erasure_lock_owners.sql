-- erasure_lock_owners
-- (uuid)
SELECT m.id
FROM public.organization_members AS m
WHERE m.role = 'owner'
AND m.organization_id IN (
  SELECT o.organization_id
  FROM public.organization_members AS o
  WHERE o.user_id = $1
  AND o.role = 'owner'
)
ORDER BY m.id
FOR UPDATE
