-- merge_preferences
-- (jsonb, uuid)
UPDATE "public"."users"
SET "preferences" = CASE WHEN pg_catalog.jsonb_typeof("public"."users"."preferences") = 'object' THEN "public"."users"."preferences"
    ELSE '{}' END || $1
WHERE ("public"."users"."id" = $2)
RETURNING "public"."users"."id"
