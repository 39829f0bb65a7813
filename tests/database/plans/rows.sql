-- The rows for the plans: 300 organizations, 1,500 projects and 6,000 analyses among them,
-- and some issues in each of 500 analyses.
INSERT INTO public.users (email, name)
  SELECT n || '@example.org', 'User ' || n FROM generate_series(1, 3000) AS n;
INSERT INTO public.user_sessions (user_id, token_hash, refresh_token_hash, expires_at)
  SELECT id, md5(id::text), md5(id::text || 'r'), NOW() + (row_number() OVER () || ' minutes')::interval
  FROM public.users;
INSERT INTO public.organizations (name, slug)
  SELECT 'Organization ' || n, 'org-' || n FROM generate_series(1, 300) AS n;

CREATE TEMPORARY TABLE a_user AS SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM public.users;
CREATE TEMPORARY TABLE an_organization AS
  SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM public.organizations;

INSERT INTO public.organization_members (organization_id, user_id, role)
  SELECT o.id, u.id, 'member' FROM a_user u JOIN an_organization o ON o.n IN (u.n % 300, (u.n + 7) % 300);
INSERT INTO public.organization_invitations (id, organization_id, user_id, role, expires_at)
  SELECT gen_random_uuid(), o.id, u.id, 'member', NOW() + INTERVAL '1 day'
  FROM a_user u JOIN an_organization o ON o.n = (u.n + 100) % 300;
INSERT INTO public.projects (organization_id, name, created_by, created_at)
  SELECT o.id, 'Project ' || u.n, u.id, NOW() - (u.n || ' hours')::interval
  FROM a_user u JOIN an_organization o ON o.n = u.n % 300 WHERE u.n < 1500;

CREATE TEMPORARY TABLE a_project AS
  SELECT id, created_by, row_number() OVER (ORDER BY id) - 1 AS n FROM public.projects;

INSERT INTO public.project_members (project_id, user_id, role)
  SELECT p.id, u.id, 'contributor' FROM a_user u JOIN a_project p ON p.n IN (u.n % 1500, (u.n + 7) % 1500);
INSERT INTO analysis.analyses
    (project_id, type, status, progress, started_at, completed_at, duration_seconds, created_by, created_at)
  SELECT p.id, (enum_range(NULL::analysis.analysis_type))[1 + k % 3], status::analysis.analysis_status,
    CASE status WHEN 'completed' THEN 100 ELSE 0 END,
    CASE WHEN status <> 'pending' THEN created END,
    CASE WHEN status = 'completed' THEN created + INTERVAL '1 minute' END,
    CASE WHEN status = 'completed' THEN 60 END,
    p.created_by, created
  FROM a_project p CROSS JOIN generate_series(0, 3) AS k
    CROSS JOIN LATERAL (
      SELECT NOW() - (p.n || ' hours')::interval AS created,
        CASE WHEN k = 3 AND p.n % 2 = 0 THEN 'pending' WHEN k >= 2 AND p.n % 2 = 1 THEN 'running' ELSE 'completed' END
          AS status
    ) AS state;
INSERT INTO analysis.analysis_leases (analysis_id, worker, expires_at)
  SELECT id, 'worker', NOW() + (row_number() OVER () || ' hours')::interval
  FROM analysis.analyses WHERE status = 'running';

CREATE TEMPORARY TABLE an_analysis AS
  SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM analysis.analyses WHERE status = 'completed';

-- One path and one user have many of the issues, of all analyses, and the others have few: a plan
-- for any values takes both for rare. The foreign keys are not checked row by row.
SET session_replication_role = replica;
INSERT INTO analysis.analysis_issues
    (analysis_id, type, severity, status, rule_id, title, file_path, line_number, resolved_at, resolved_by)
  SELECT a.id, (enum_range(NULL::analysis.issue_type))[1 + k % 4],
    (enum_range(NULL::analysis.issue_severity))[1 + k % 4],
    (CASE WHEN k % 20 = 0 THEN 'resolved' ELSE 'open' END)::analysis.issue_status,
    'rule-' || k % 9, 'Title ' || k,
    CASE WHEN k % 5 = 0 THEN 'src/0/lib.rs' ELSE 'src/' || k % 5 || '/' || (a.n * 7 + k) % 1000 || '.rs' END, k,
    CASE WHEN k % 20 = 0 THEN NOW() END, CASE WHEN k % 20 = 0 THEN u.id END
  FROM an_analysis a CROSS JOIN generate_series(1, {issues}) AS k
    JOIN a_user u ON u.n = CASE WHEN k % 40 = 0 THEN 0 ELSE a.n END
  WHERE a.n < 500;
SET session_replication_role = origin;
INSERT INTO analysis.analysis_results (analysis_id, file_path, file_hash)
  SELECT a.id, CASE k WHEN 1 THEN 'src/lib.rs' ELSE 'src/' || k || '/' || a.n || '.rs' END,
    CASE k WHEN 1 THEN 'same' ELSE md5(a.n || ' ' || k) END
  FROM an_analysis a CROSS JOIN generate_series(1, 5) AS k WHERE a.n < 500;
INSERT INTO analysis.analysis_metrics (analysis_id, metric_name, metric_value, category)
  SELECT a.id, 'metric-' || k, k, (enum_range(NULL::analysis.metric_category))[1]
  FROM an_analysis a CROSS JOIN generate_series(1, 3) AS k;
INSERT INTO analysis.duplicate_groups (analysis_id, hash, similarity_percentage, total_lines, files)
  SELECT a.id, md5(a.n::text), 100, 10, '[]' FROM an_analysis a WHERE a.n < 4000;
INSERT INTO audit.audit_logs (user_id, organization_id, action, resource_type, created_at)
  SELECT u.id, o.id, (enum_range(NULL::audit.audit_action))[1], 'project', NOW() - (u.n || ' seconds')::interval
  FROM a_user u JOIN an_organization o ON o.n = u.n % 10;
ANALYZE;
