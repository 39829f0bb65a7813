-- retention_judge
-- (int4, int8, int8, uuid[])
SELECT j.id
FROM (
  SELECT a.id, EXISTS (
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
  FROM analysis.analyses AS a
  WHERE a.id = ANY ($4)
) AS j
WHERE j.is_surplus
AND NOT j.is_pinned
