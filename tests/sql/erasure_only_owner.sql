-- erasure_only_owner
-- (uuid)
SELECT m.organization_id AS id
FROM public.organization_members AS m
WHERE m.user_id = $1
AND m.role = 'owner'
AND NOT EXISTS (
  SELECT
  FROM public.organization_members AS o
  WHERE o.organization_id = m.organization_id
  AND o.role = 'owner'
  AND o.user_id <> $1
)
ORDER BY 1
