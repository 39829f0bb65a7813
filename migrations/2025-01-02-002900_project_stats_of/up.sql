-- cache.project_stats for many projects at once. The view goes to each project's analyses by index, one project
-- after the other: right for a few, but where the analyses of all projects lie mixed, it reads each page of the
-- table once for every project that has a row on it. This reads each page once and groups what it finds. Same
-- rows and values as the view: what is counted there is to be counted here.
CREATE OR REPLACE FUNCTION cache.project_stats_of(ids UUID[])
RETURNS TABLE(
  id UUID,
  name VARCHAR(255),
  total_analyses BIGINT,
  completed_analyses BIGINT,
  last_analysis_at TIMESTAMPTZ,
  avg_quality_score DECIMAL,
  member_count BIGINT
)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    p.id,
    p.name,
    COALESCE(a.total_analyses, 0),
    COALESCE(a.completed_analyses, 0),
    a.last_analysis_at,
    a.avg_quality_score,
    COALESCE(m.member_count, 0)
  FROM public.projects p
  LEFT JOIN (
    SELECT
      scored.project_id,
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
        project_id,
        status,
        completed_at,
        CASE WHEN status = 'completed' THEN summary -> 'overallScore' END AS score
      FROM analysis.analyses
      WHERE project_id = ANY (ids)
      -- Takes each score out of its document once: merged into the query above, it would do so for every use.
      OFFSET 0
    ) scored
    GROUP BY scored.project_id
  ) a ON a.project_id = p.id
  LEFT JOIN (
    SELECT project_id, COUNT(*) AS member_count
    FROM public.project_members
    WHERE project_id = ANY (ids)
    GROUP BY project_id
  ) m ON m.project_id = p.id
  WHERE p.status = 'active'
    AND p.id = ANY (ids);
END;
