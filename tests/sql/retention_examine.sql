-- retention_examine
-- (int4, int8, int8, timestamptz, uuid, uuid, int8)
WITH page AS MATERIALIZED (
  SELECT id, created_at, project_id, type, status, completed_at
  FROM analysis.analyses
  WHERE created_at < pg_catalog.now() - $2 * INTERVAL '1 millisecond'
  AND (created_at, id) > (COALESCE($4, '-infinity'::timestamptz), $5)
  AND ($6 IS NULL OR project_id = $6)
  ORDER BY created_at, id
  LIMIT 500
), judged AS MATERIALIZED (
  SELECT a.id, a.created_at, EXISTS (
    SELECT
    FROM analysis.analysis_pins AS p
    WHERE p.analysis_id = a.id
  ) AS is_pinned, EXISTS (
    SELECT
    FROM analysis.analysis_removals AS r
    WHERE r.analysis_id = a.id
  ) OR COALESCE(a.completed_at, a.created_at) < pg_catalog.now() - $2 * INTERVAL '1 millisecond'
  AND CASE a.status WHEN 'pending'::analysis.analysis_status THEN FALSE WHEN 'running'::analysis.analysis_status
      THEN EXISTS (
    SELECT
    FROM analysis.analysis_leases AS l
    WHERE l.analysis_id = a.id
    AND l.expires_at < pg_catalog.now() - GREATEST($2 * INTERVAL '1 millisecond', INTERVAL '1 day')
  ) ELSE COALESCE((a.created_at, a.id) < (
    SELECT n.created_at, n.id
    FROM analysis.analyses AS n
    WHERE n.project_id = a.project_id
    AND n.type = a.type
    AND n.status NOT IN ('pending'::analysis.analysis_status, 'running'::analysis.analysis_status)
    AND (n.status = 'completed'::analysis.analysis_status) = (a.status = 'completed'::analysis.analysis_status)
    AND COALESCE(n.completed_at, n.created_at) <= pg_catalog.now() - $3 * INTERVAL '1 millisecond'
    ORDER BY n.created_at DESC, n.id DESC
    OFFSET $1 - 1
    LIMIT 1
  ), FALSE) END AS is_surplus
  FROM page AS a
)
SELECT j.id, j.created_at, j.is_pinned, j.is_surplus, CASE WHEN j.is_surplus
AND NOT j.is_pinned THEN (
  SELECT pg_catalog.count(*)
  FROM (
    SELECT
    FROM analysis.analysis_issues AS c
    WHERE c.analysis_id = j.id
    LIMIT $7
  ) AS counted
) ELSE 0 END AS issues, CASE WHEN j.is_surplus
AND NOT j.is_pinned THEN (
  SELECT pg_catalog.count(*)
  FROM (
    SELECT
    FROM analysis.analysis_results AS c
    WHERE c.analysis_id = j.id
    LIMIT $7
  ) AS counted
) ELSE 0 END AS results
FROM judged AS j
ORDER BY j.created_at, j.id
