-- organizations.create_many
-- (uuid[], text[], text[], text[], jsonb[], text[], timestamptz[])
INSERT INTO "public"."organizations" ("id", "name", "slug", "description", "settings", "subscription_plan",
    "created_at")
SELECT "new"."id", "new"."name", "new"."slug", "new"."description", COALESCE("new"."settings", '{}'), COALESCE("new"."subscription_plan"::public.subscription_plan,
    'free'), COALESCE("new"."created_at", now())
FROM UNNEST($1, $2, $3, $4, $5, $6, $7) AS "new" ("id", "name", "slug", "description", "settings",
    "subscription_plan", "created_at")
