-- organization_rows_of_users
-- ()
COPY (
  SELECT id
  FROM public.users AS r
  WHERE r.id IN (
    SELECT r.created_by
    FROM public.projects AS r
    WHERE r.organization_id = '00000000-0000-0000-0000-000000000000'::pg_catalog.uuid
  )
) TO STDOUT
