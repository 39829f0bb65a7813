-- snapshot_hash
-- ()
SELECT pg_catalog.count(*) AS number, pg_catalog.md5(COALESCE(pg_catalog.sum(pg_catalog.hashtextextended(t::text,
    0)), 0)::text) AS digest
FROM public.users AS t
