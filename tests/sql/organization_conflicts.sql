-- organization_conflicts
-- ()
SELECT pg_catalog.count(*) OVER () AS number, i.id::text AS key, t.id IS NULL AS is_taken
FROM pg_temp.wundr_import AS i
LEFT JOIN public.organizations AS t ON t.id = i.id
WHERE t.id IS NULL OR ROW(i.id, i.slug)::text IS DISTINCT FROM ROW(t.id, t.slug)::text
ORDER BY i.id
LIMIT 100
