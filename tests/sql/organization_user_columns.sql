-- organization_user_columns
-- (text[])
SELECT listed.name, pg_catalog.quote_ident(a.attname) AS column
FROM pg_catalog.unnest($1) WITH ORDINALITY AS listed (name, place)
JOIN pg_catalog.pg_constraint AS c ON c.conrelid = listed.name::pg_catalog.regclass
AND c.contype = 'f'
AND c.confrelid = 'public.users'::pg_catalog.regclass
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid
AND a.attnum = c.conkey[1]
ORDER BY listed.place, a.attnum
