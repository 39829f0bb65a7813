-- 200 projects of 500 analyses and 40 members each: one analysis in 18 hours, nine in ten of them completed. The
-- word ORDERED says how the analyses follow each other in the table.
INSERT INTO users (id, email, name)
SELECT pg_temp.v7('2024-01-01', n), format('user%s@example.org', n), format('User %s', n)
FROM generate_series(1, 400) AS n;

INSERT INTO projects (id, name, created_by)
SELECT pg_temp.v7('2024-01-02', n), format('Project %s', n), pg_temp.v7('2024-01-01', 1)
FROM generate_series(1, 200) AS n;

INSERT INTO project_members (project_id, user_id, role)
SELECT pg_temp.v7('2024-01-02', project), pg_temp.v7('2024-01-01', 1 + (project + member) % 400), 'contributor'
FROM generate_series(1, 200) AS project, generate_series(1, 40) AS member;

INSERT INTO analyses (
  id, project_id, type, status, progress, summary, started_at, completed_at, duration_seconds, created_by, created_at
)
SELECT pg_temp.v7(started_at, 1000 * project + run), pg_temp.v7('2024-01-02', project), 'quality',
  CASE WHEN is_completed THEN 'completed' ELSE 'failed' END::analysis_status,
  CASE WHEN is_completed THEN 100 ELSE 50 END,
  CASE WHEN is_completed THEN jsonb_build_object(
    'overallScore', 50 + (7 * run + project) % 50, 'totalFiles', 812, 'totalIssues', run, 'criticalIssues', run % 3
  ) END,
  started_at, started_at + INTERVAL '90 seconds', 90, pg_temp.v7('2024-01-01', 1), started_at
FROM generate_series(1, 200) AS project, generate_series(1, 500) AS run,
  LATERAL (SELECT (run + project) % 10 > 0 AS is_completed) AS outcome,
  LATERAL (SELECT NOW() - (500 - run) * INTERVAL '18 hours' - project * INTERVAL '5 minutes' - INTERVAL '1 hour'
    AS started_at) AS time
ORDER BY ORDERED;

-- Eight metrics of each analysis of twenty projects.
INSERT INTO analysis_metrics (analysis_id, metric_name, metric_value, category, created_at)
SELECT a.id, format('metric_%s', metric), (metric * 1000 + EXTRACT(EPOCH FROM a.started_at)::BIGINT % 997) / 7.0,
  'quality', a.completed_at
FROM analyses AS a, generate_series(1, 8) AS metric
WHERE a.project_id IN (SELECT pg_temp.v7('2024-01-02', n) FROM generate_series(1, 20) AS n)
ORDER BY a.created_at, metric;

-- Two hundred issues of each of these projects' newest analyses.
INSERT INTO analysis_issues (analysis_id, type, severity, rule_id, title, file_path, line_number)
SELECT a.id, 'maintainability', (ARRAY['high', 'medium', 'low', 'info'])[1 + n % 4]::issue_severity, 'D102',
  'Missing docstring in public method', format('src/module_%s.py', n % 20), n
FROM analyses AS a, generate_series(1, 200) AS n
WHERE a.created_at > NOW() - INTERVAL '3 days'
  AND a.project_id IN (SELECT pg_temp.v7('2024-01-02', n) FROM generate_series(1, 20) AS n);
