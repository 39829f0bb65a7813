-- cache_has_ended
-- (text)
SELECT pg_catalog.pg_visible_in_snapshot($1::pg_catalog.text::pg_catalog.xid8, pg_catalog.pg_current_snapshot())
    AS yes
