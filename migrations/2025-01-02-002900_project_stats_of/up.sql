-- cache.project_stats for many projects at once. The view reads each project's analyses by index,
-- one project after the other. That is right for a few projects. If the analyses of all projects
-- are interleaved, it reads each page of the table once for every project that has a row on it.
-- This function reads each page once and groups the rows. It returns the same rows and values as
-- the view, so both must be changed together.
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
      -- Extracts a score from its document for every use of it. A subquery that extracts it once
      -- could not be run by parallel workers.
      AVG(
        CASE jsonb_typeof(scored.summary -> 'overallScore')
          WHEN 'number' THEN (scored.summary -> 'overallScore')::DECIMAL
          WHEN 'string' THEN
            -- Bounded, so that no text can overflow the cast.
            CASE WHEN length(scored.summary ->> 'overallScore') <= 1000
                AND scored.summary ->> 'overallScore'
                  ~ '^[ \t\n\r\f\v]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?[ \t\n\r\f\v]*$'
              THEN (scored.summary ->> 'overallScore')::DECIMAL
            END
        END
      ) FILTER (WHERE scored.status = 'completed') AS avg_quality_score
    FROM analysis.analyses AS scored
    WHERE scored.project_id = ANY (ids)
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
