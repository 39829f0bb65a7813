-- analysis_metrics.create_many
-- (uuid[], uuid[], text[], numeric[], text[], text[], text[], text[], timestamptz[])
INSERT INTO "analysis"."analysis_metrics" ("id", "analysis_id", "metric_name", "metric_value", "metric_unit",
    "category", "description", "trend_direction", "created_at")
SELECT "new"."id", "new"."analysis_id", "new"."metric_name", "new"."metric_value", "new"."metric_unit", "new"."category"::analysis.metric_category,
    "new"."description", "new"."trend_direction"::analysis.trend_direction, COALESCE("new"."created_at", now())
FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9) AS "new" ("id", "analysis_id", "metric_name", "metric_value",
    "metric_unit", "category", "description", "trend_direction", "created_at")
