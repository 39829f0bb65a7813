-- analyses.create_many
-- (uuid[], uuid[], text[], text[], int4[], jsonb[], jsonb[], jsonb[], text[], timestamptz[], timestamptz[], int4[], uuid[], timestamptz[])
INSERT INTO "analysis"."analyses" ("id", "project_id", "type", "status", "progress", "configuration",
    "results", "summary", "error_message", "started_at", "completed_at", "duration_seconds", "created_by",
    "created_at")
SELECT "new"."id", "new"."project_id", "new"."type"::analysis.analysis_type, COALESCE("new"."status"::analysis.analysis_status,
    'pending'), COALESCE("new"."progress", 0), COALESCE("new"."configuration", '{}'), "new"."results", "new"."summary",
    "new"."error_message", "new"."started_at", "new"."completed_at", "new"."duration_seconds", "new"."created_by",
    COALESCE("new"."created_at", now())
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS "new" ("id", "project_id", "type",
    "status", "progress", "configuration", "results", "summary", "error_message", "started_at", "completed_at",
    "duration_seconds", "created_by", "created_at")
