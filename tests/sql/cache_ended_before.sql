-- cache_ended_before
-- (text)
SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= $1::pg_catalog.text::pg_catalog.xid8
    AS yes
