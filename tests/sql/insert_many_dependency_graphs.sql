-- dependency_graphs.create_many
-- (uuid[], uuid[], uuid[], jsonb[], jsonb[], timestamptz[])
INSERT INTO "analysis"."dependency_graphs" ("id", "project_id", "analysis_id", "graph_data", "metadata",
    "created_at")
SELECT "new"."id", "new"."project_id", "new"."analysis_id", "new"."graph_data", COALESCE("new"."metadata",
    '{}'), COALESCE("new"."created_at", now())
FROM UNNEST($1, $2, $3, $4, $5, $6) AS "new" ("id", "project_id", "analysis_id", "graph_data", "metadata",
    "created_at")
