-- organization_columns
-- (text[])
SELECT listed.name, pg_catalog.quote_ident(a.attname) AS column, pg_catalog.format_type(a.atttypid, a.atttypmod)
    AS type, COALESCE(a.attnum = ANY (i.indkey), false) AS is_key
FROM pg_catalog.unnest($1) WITH ORDINALITY AS listed (name, place)
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = listed.name::pg_catalog.regclass
AND a.attnum > 0
AND NOT a.attisdropped
AND a.attgenerated = ''
AND a.attidentity <> 'a'
LEFT JOIN pg_catalog.pg_index AS i ON i.indrelid = a.attrelid
AND i.indisprimary
ORDER BY listed.place, a.attnum
