-- 24 months of the audit log, ten thousand entries a month, the last one now.
INSERT INTO users (id, email, name)
SELECT pg_temp.v7('2024-01-01', n), format('user%s@example.org', n), format('User %s', n)
FROM generate_series(1, 1000) AS n;

INSERT INTO organizations (id, name, slug)
SELECT pg_temp.v7('2024-01-02', n), format('Organization %s', n), format('organization-%s', n)
FROM generate_series(1, 20) AS n;

INSERT INTO audit_logs (
  id, user_id, organization_id, action, resource_type, resource_id, new_values, ip_address, user_agent, created_at
)
SELECT pg_temp.v7(at, n), pg_temp.v7('2024-01-01', 1 + n % 1000), pg_temp.v7('2024-01-02', 1 + n % 20),
  (ARRAY['create', 'read', 'update', 'delete', 'login', 'logout'])[1 + n % 6]::audit_action,
  (ARRAY['project', 'analysis', 'user', 'configuration'])[1 + n % 4], pg_temp.v7('2024-01-03', n % 5000),
  jsonb_build_object('name', format('Project %s', n), 'number', n), '192.0.2.1', 'Mozilla/5.0', at
FROM generate_series(1, 240000) AS n,
  (SELECT (date_trunc('month', NOW() AT TIME ZONE 'UTC') - INTERVAL '23 months') AT TIME ZONE 'UTC' AS began) AS log,
  LATERAL (SELECT began + (NOW() - began) * (n / 240000.0) AS at) AS time
ORDER BY n;
