-- system_logs.create_many
-- (uuid[], text[], text[], text[], text[], jsonb[], uuid[], uuid[], uuid[], timestamptz[])
INSERT INTO "audit"."system_logs" ("id", "level", "service", "component", "message", "data", "correlation_id",
    "request_id", "user_id", "created_at")
SELECT "new"."id", "new"."level"::audit.log_level, "new"."service", "new"."component", "new"."message", "new"."data",
    "new"."correlation_id", "new"."request_id", "new"."user_id", COALESCE("new"."created_at", now())
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS "new" ("id", "level", "service", "component",
    "message", "data", "correlation_id", "request_id", "user_id", "created_at")
