-- setup_sessions.create_many
-- (uuid[], uuid[], uuid[], text[], int4[], text[], jsonb[], jsonb[], text[], timestamptz[], timestamptz[], int4[], timestamptz[])
INSERT INTO "setup"."setup_sessions" ("id", "profile_id", "user_id", "status", "progress", "current_step",
    "configuration", "logs", "error_message", "started_at", "completed_at", "duration_seconds", "created_at")
SELECT "new"."id", "new"."profile_id", "new"."user_id", COALESCE("new"."status"::setup.session_status,
    'pending'), COALESCE("new"."progress", 0), "new"."current_step", COALESCE("new"."configuration", '{}'),
    COALESCE("new"."logs", '[]'), "new"."error_message", "new"."started_at", "new"."completed_at", "new"."duration_seconds",
    COALESCE("new"."created_at", now())
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS "new" ("id", "profile_id", "user_id",
    "status", "progress", "current_step", "configuration", "logs", "error_message", "started_at",
    "completed_at", "duration_seconds", "created_at")
