-- erasure_lock_user
-- (uuid)
SELECT email AS text
FROM public.users
WHERE id = $1
FOR UPDATE
