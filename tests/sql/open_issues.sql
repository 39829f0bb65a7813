-- open_issues
-- (uuid)
SELECT counted.severity, pg_catalog.sum(counted.number)::bigint
FROM pg_catalog.unnest(pg_catalog.enum_range(NULL::analysis.analysis_type)) WITH ORDINALITY AS kind (type,
    position)
CROSS JOIN LATERAL (
  SELECT analyses.id
  FROM analysis.analyses
  WHERE analyses.project_id = $1
  AND analyses.type = kind.type
  AND analyses.status = 'completed'
  ORDER BY analyses.created_at DESC, analyses.id DESC
  LIMIT 1
) AS newest
CROSS JOIN LATERAL (
  SELECT issue.severity, pg_catalog.count(*) AS number
  FROM analysis.analysis_issues AS issue
  WHERE issue.analysis_id = newest.id
  AND issue.status = 'open'
  GROUP BY issue.severity
) AS counted
GROUP BY counted.severity
