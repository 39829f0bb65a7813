-- What a platform in use has: users, organizations, projects, analyses.
INSERT INTO users (id, email, name)
SELECT pg_temp.v7('2025-01-01', n), format('user%s@example.org', n), format('User %s', n)
FROM generate_series(1, 100) AS n;

INSERT INTO organizations (id, name, slug, description, settings)
SELECT pg_temp.v7('2025-01-02', n), format('Organization %s', n), format('organization-%s', n),
  'Keeps its projects here', '{"theme": "dark", "notifications": {"email": true, "chat": false}}'
FROM generate_series(1, 1000) AS n;

INSERT INTO projects (
  id, organization_id, name, description, repository_url, repository_provider, repository_data, configuration,
  created_by, last_analyzed_at
)
SELECT pg_temp.v7('2025-01-03', n), pg_temp.v7('2025-01-02', 1 + n % 1000), format('Project %s', n),
  'Serves requests, keeps records, and has done both for longer than anybody would have thought',
  format('https://example.org/organization-%s/project-%s', 1 + n % 1000, n), 'github',
  '{"stars": 1204, "language": "Rust", "default_branch": "main", "topics": ["database", "postgresql"]}',
  '{"analysis": {"schedule": "daily", "types": ["quality", "security"]}, "exclude": ["vendor/", "target/"]}',
  pg_temp.v7('2025-01-01', 1 + n % 100), '2025-06-01'
FROM generate_series(1, 2000) AS n;

INSERT INTO analyses (id, project_id, type, created_by)
SELECT pg_temp.v7('2025-01-04', n), pg_temp.v7('2025-01-03', n), 'quality', pg_temp.v7('2025-01-01', 1)
FROM generate_series(1, 20) AS n;
