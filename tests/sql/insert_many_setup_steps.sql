-- setup_steps.create_many
-- (uuid[], uuid[], text[], text[], int4[], text[], text[], text[], text[], text[], timestamptz[], timestamptz[], int4[], timestamptz[])
INSERT INTO "setup"."setup_steps" ("id", "session_id", "name", "description", "step_order", "tool_name",
    "command", "status", "logs", "error_message", "started_at", "completed_at", "duration_seconds",
    "created_at")
SELECT "new"."id", "new"."session_id", "new"."name", "new"."description", "new"."step_order", "new"."tool_name",
    "new"."command", COALESCE("new"."status"::setup.step_status, 'pending'), "new"."logs", "new"."error_message",
    "new"."started_at", "new"."completed_at", "new"."duration_seconds", COALESCE("new"."created_at", now())
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS "new" ("id", "session_id", "name",
    "description", "step_order", "tool_name", "command", "status", "logs", "error_message", "started_at",
    "completed_at", "duration_seconds", "created_at")
