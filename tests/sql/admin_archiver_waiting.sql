-- admin_archiver_waiting
-- ()
SELECT pg_catalog.count(*) AS number
FROM pg_catalog.pg_ls_archive_statusdir()
WHERE name LIKE '%.ready'
