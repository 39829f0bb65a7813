-- project_stats.list
-- (public.project_status, int8, uuid, int8)
SELECT "cache"."project_stats"."id", "cache"."project_stats"."name", "cache"."project_stats"."total_analyses",
    "cache"."project_stats"."completed_analyses", "cache"."project_stats"."last_analysis_at", "cache"."project_stats"."avg_quality_score",
    "cache"."project_stats"."member_count"
FROM "cache"."project_stats"
WHERE (cache.project_stats.id = ANY (ARRAY(
  SELECT "public"."projects"."id"
  FROM "public"."projects"
  WHERE (("public"."projects"."status" = $1) AND (((
    SELECT pg_catalog.count(*)
    FROM analysis.analyses AS counted
    WHERE counted.project_id = public.projects.id
  ), "public"."projects"."id") < ((
    SELECT $2
  ), (
    SELECT $3
  ))))
  ORDER BY (
    SELECT pg_catalog.count(*)
    FROM analysis.analyses AS counted
    WHERE counted.project_id = public.projects.id
  ) DESC, "public"."projects"."id" DESC
  LIMIT $4
)))
ORDER BY "cache"."project_stats"."total_analyses" DESC, "cache"."project_stats"."id" DESC
