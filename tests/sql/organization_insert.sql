-- organization_insert
-- ()
INSERT INTO public.organizations (id, slug)
SELECT id, slug
FROM pg_temp.wundr_import AS i
ON CONFLICT DO NOTHING
