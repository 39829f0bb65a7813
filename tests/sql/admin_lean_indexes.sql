-- admin_lean_indexes
-- ()
WITH candidate (reason, table_name, index_name, definition) AS (VALUES ('unused', 'public.users',
    'idx_users_active_email', '(email) WHERE is_active = TRUE'), ('unused', 'public.projects',
    'idx_projects_active_updated', '(updated_at DESC) WHERE status = ''active'''), ('unused',
    'public.projects', 'idx_projects_configuration', 'USING GIN (configuration)'), ('unused',
    'analysis.analyses', 'idx_analyses_results', 'USING GIN (results)'), ('unused',
    'analysis.analysis_results', 'idx_analysis_results_metrics', 'USING GIN (metrics)'), ('hot',
    'public.projects', 'idx_projects_updated_at', '(updated_at)'), ('repeats', 'public.users',
    'idx_users_email', '(email)'), ('repeats', 'public.organizations', 'idx_organizations_slug', '(slug)'), ('repeats',
    'public.organization_members', 'idx_org_members_org_id', '(organization_id)'), ('repeats',
    'public.projects', 'idx_projects_org_id', '(organization_id)'), ('repeats', 'public.project_members',
    'idx_project_members_project_id', '(project_id)'), ('repeats', 'public.project_members',
    'idx_project_members_user_id', '(user_id)'), ('repeats', 'analysis.analyses', 'idx_analyses_project_id',
    '(project_id)'), ('repeats', 'analysis.analysis_metrics', 'idx_analysis_metrics_analysis_id',
    '(analysis_id)'), ('repeats', 'analysis.analysis_issues', 'idx_analysis_issues_analysis_id',
    '(analysis_id)'), ('repeats', 'analysis.analysis_issues', 'idx_analysis_issues_analysis_severity',
    '(analysis_id, severity)'), ('repeats', 'setup.configurations', 'idx_configurations_org_id',
    '(organization_id)'), ('repeats', 'setup.setup_steps', 'idx_setup_steps_session_id', '(session_id)') )
SELECT candidate.reason, candidate.table_name, candidate.definition, candidate.index_name, pg_catalog.split_part(candidate.table_name,
    '.', 1) AS schema_name, other.name AS other, pg_catalog.pg_relation_size(i.indexrelid) AS bytes,
    pg_catalog.pg_stat_get_numscans(i.indexrelid) AS scans
FROM candidate
JOIN pg_catalog.pg_class AS t ON t.oid = pg_catalog.to_regclass(candidate.table_name)
JOIN pg_catalog.pg_index AS i ON i.indrelid = t.oid
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
AND c.relname = candidate.index_name
AND c.relnamespace = t.relnamespace
LEFT JOIN LATERAL (
  SELECT pg_catalog.format('%s.%I', pg_catalog.split_part(candidate.table_name, '.', 1), b.relname) AS name
  FROM pg_catalog.pg_index AS o
  JOIN pg_catalog.pg_class AS b ON b.oid = o.indexrelid
  AND b.relam = c.relam
  WHERE o.indrelid = i.indrelid
  AND o.indexrelid <> i.indexrelid
  AND o.indisvalid
  AND o.indpred IS NULL
  AND o.indnkeyatts >= i.indnkeyatts
  AND (o.indkey::int2[])[0:i.indnkeyatts - 1] = (i.indkey::int2[])[0:i.indnkeyatts - 1]
  AND (o.indclass::oid[])[0:i.indnkeyatts - 1] = (i.indclass::oid[])[0:i.indnkeyatts - 1]
  AND (o.indcollation::oid[])[0:i.indnkeyatts - 1] = (i.indcollation::oid[])[0:i.indnkeyatts - 1]
  AND NOT EXISTS (
    SELECT
    FROM candidate AS lean
    WHERE lean.index_name = b.relname
    AND lean.table_name = candidate.table_name
  )
  ORDER BY o.indnkeyatts, b.relname
  LIMIT 1
) AS other ON candidate.reason = 'repeats'
WHERE i.indisvalid
AND (candidate.reason <> 'repeats' OR other.name IS NOT NULL)
ORDER BY bytes DESC, candidate.index_name
