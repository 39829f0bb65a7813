-- organization_create_staging
-- ()
CREATE TEMPORARY TABLE pg_temp.wundr_import ON COMMIT DROP AS
SELECT id, slug
FROM public.organizations WITH NO DATA
