-- organization_rows_of_issues
-- ()
COPY (
  SELECT id
  FROM analysis.analysis_issues AS r
  WHERE r.analysis_id IN (
    SELECT id
    FROM analysis.analyses
    WHERE project_id IN (
      SELECT id
      FROM public.projects
      WHERE organization_id = '00000000-0000-0000-0000-000000000000'::pg_catalog.uuid
    )
  )
) TO STDOUT
