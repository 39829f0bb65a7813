-- duplicate_groups.create_many
-- (uuid[], uuid[], text[], numeric[], int4[], jsonb[], timestamptz[])
INSERT INTO "analysis"."duplicate_groups" ("id", "analysis_id", "hash", "similarity_percentage", "total_lines",
    "files", "created_at")
SELECT "new"."id", "new"."analysis_id", "new"."hash", "new"."similarity_percentage", "new"."total_lines",
    "new"."files", COALESCE("new"."created_at", now())
FROM UNNEST($1, $2, $3, $4, $5, $6, $7) AS "new" ("id", "analysis_id", "hash", "similarity_percentage",
    "total_lines", "files", "created_at")
