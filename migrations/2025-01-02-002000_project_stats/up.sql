-- The design's view joins a project's analyses to its members before it counts either, so that it
-- costs their product. One overallScore that is not a number breaks it for every project. This one
-- has the same columns and values. Each side is counted separately through the index on project_id,
-- so that a project or an organization costs only its own rows. As in the design, numbers and
-- numeric text count. All other values, including NaN and Infinity, are excluded from the average.
CREATE OR REPLACE VIEW cache.project_stats AS
SELECT
  p.id,
  p.name,
  a.total_analyses,
  a.completed_analyses,
  a.last_analysis_at,
  a.avg_quality_score,
  m.member_count
FROM public.projects p
LEFT JOIN LATERAL (
  SELECT
    COUNT(*) AS total_analyses,
    COUNT(*) FILTER (WHERE scored.status = 'completed') AS completed_analyses,
    MAX(scored.completed_at) AS last_analysis_at,
    AVG(
      CASE jsonb_typeof(scored.score)
        WHEN 'number' THEN scored.score::DECIMAL
        WHEN 'string' THEN
          -- Bounded, so that no text can overflow the cast.
          CASE WHEN length(scored.score #>> '{}') <= 1000
              AND scored.score #>> '{}'
                ~ '^[ \t\n\r\f\v]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?[ \t\n\r\f\v]*$'
            THEN (scored.score #>> '{}')::DECIMAL
          END
      END
    ) AS avg_quality_score
  FROM (
    SELECT
      status,
      completed_at,
      CASE WHEN status = 'completed' THEN summary -> 'overallScore' END AS score
    FROM analysis.analyses
    WHERE project_id = p.id
    -- Takes each score out of its document once: merged into the query above, it would do so for every use.
    OFFSET 0
  ) scored
) a ON TRUE
LEFT JOIN LATERAL (
  SELECT COUNT(*) AS member_count
  FROM public.project_members
  WHERE project_members.project_id = p.id
) m ON TRUE
WHERE p.status = 'active';
