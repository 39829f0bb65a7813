-- after_time_beyond_chrono
-- (uuid, uuid)
SELECT "public"."users"."id"
FROM "public"."users"
WHERE ("public"."users"."created_at", "public"."users".id) > (COALESCE((
  SELECT place."created_at"
  FROM "public"."users" AS place
  WHERE place.id = $1
  AND place."created_at" >= '262142-12-31 23:59:59.999999+00'
), 'infinity'), $2)
