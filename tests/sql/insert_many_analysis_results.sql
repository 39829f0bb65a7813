-- analysis_results.create_many
-- (uuid[], uuid[], text[], text[], jsonb[], jsonb[], jsonb[], timestamptz[])
INSERT INTO "analysis"."analysis_results" ("id", "analysis_id", "file_path", "file_hash", "metrics", "issues",
    "dependencies", "created_at")
SELECT "new"."id", "new"."analysis_id", "new"."file_path", "new"."file_hash", COALESCE("new"."metrics", '{}'),
    COALESCE("new"."issues", '[]'), COALESCE("new"."dependencies", '[]'), COALESCE("new"."created_at", now())
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8) AS "new" ("id", "analysis_id", "file_path", "file_hash", "metrics",
    "issues", "dependencies", "created_at")
