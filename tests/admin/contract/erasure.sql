-- Ada, of whom a row of every kind is stored, and Grace, who stays. $A, $G, $O and $P are the ids of
-- Ada, Grace, an organization and a project.
INSERT INTO public.users (id, email, name, github_username, avatar_url, preferences, last_login_at)
VALUES ('$A', 'Ada@example.org', 'Ada Lovelace', 'adagit', 'https://pics.example/adagit',
    '{"theme": "adadark"}', now()),
  ('$G', 'grace@example.org', 'Grace Hopper', 'gracegit', NULL, '{}', NULL);
INSERT INTO public.organizations (id, name, slug) VALUES ('$O', 'Lab', 'lab');
INSERT INTO public.organization_members (organization_id, user_id, role, invited_by)
VALUES ('$O', '$A', 'owner', NULL), ('$O', '$G', 'member', '$A');
INSERT INTO public.organization_invitations (id, organization_id, user_id, role, invited_by, expires_at)
VALUES (gen_random_uuid(), '$O', '$A', 'viewer', '$G', now()), (gen_random_uuid(), '$O', '$G', 'viewer', '$A', now());
INSERT INTO public.projects (id, organization_id, name, created_by) VALUES ('$P', '$O', 'Engine', '$A');
INSERT INTO public.project_members (project_id, user_id, role, added_by)
VALUES ('$P', '$A', 'owner', '$G'), ('$P', '$G', 'viewer', '$A');
INSERT INTO public.user_sessions (id, user_id, token_hash, refresh_token_hash, expires_at, ip_address, user_agent)
VALUES ('00000000-0000-0000-0000-0000000000a1', '$A', 'adatoken', 'adarefresh', now() + INTERVAL '1 day',
  '203.0.113.7', 'AdaBrowser'),
  (gen_random_uuid(), '$G', 'gracetoken', NULL, now() + INTERVAL '1 day', '198.51.100.9', 'GraceBrowser');
INSERT INTO public.user_session_families (session_id, ends_at, predecessor_hash, predecessor_until)
VALUES ('00000000-0000-0000-0000-0000000000a1', now() + INTERVAL '1 day', 'adaformer', now());
INSERT INTO public.rotated_refresh_tokens (token_hash, session_id, expires_at)
VALUES ('adarotated', '00000000-0000-0000-0000-0000000000a1', now());
INSERT INTO analysis.analyses (id, project_id, type, created_by)
VALUES ('00000000-0000-0000-0000-0000000000a2', '$P', 'quality', '$A');
INSERT INTO analysis.analysis_issues (analysis_id, type, severity, title, file_path, status, resolved_at, resolved_by)
VALUES ('00000000-0000-0000-0000-0000000000a2', 'security', 'high', 'x', 'a.rs', 'resolved', now(), '$A');
INSERT INTO analysis.analysis_pins (analysis_id, reason, pinned_by)
VALUES ('00000000-0000-0000-0000-0000000000a2', 'release', '$A');
INSERT INTO setup.setup_profiles (id, name, category, created_by, organization_id)
VALUES ('00000000-0000-0000-0000-0000000000a3', 'Rust', 'backend', '$A', '$O');
INSERT INTO setup.setup_sessions (id, profile_id, user_id)
VALUES ('00000000-0000-0000-0000-0000000000a4', '00000000-0000-0000-0000-0000000000a3', '$A');
INSERT INTO setup.setup_steps (session_id, name, step_order)
VALUES ('00000000-0000-0000-0000-0000000000a4', 'install', 1);
INSERT INTO setup.configurations (organization_id, scope, category, name, value, created_by)
VALUES ('$O', 'organization', 'general', 'a', '1', '$A');
INSERT INTO setup.integrations (organization_id, type, name, created_by) VALUES ('$O', 'github', 'a', '$A');
INSERT INTO audit.audit_logs (user_id, organization_id, action, resource_type, resource_id, old_values, new_values, metadata, ip_address, user_agent, created_at)
VALUES
  -- What Ada did, this month and in a month that can be sealed.
  ('$A', '$O', 'login', 'user', '$A', NULL, NULL, '{"n": 1.50}', '203.0.113.7', 'AdaBrowser', now()),
  ('$A', '$O', 'read', 'project', '$P', NULL, NULL, '{}', '203.0.113.7', 'AdaBrowser', '2024-02-03 10:00+00'),
  -- What Grace did with Ada.
  ('$G', '$O', 'update', 'user', '$A', '{"email": "old@example.org", "name": "Ada Byron", "role": "viewer"}',
    '{"email": "ada@example.org", "name": "Ada Lovelace", "role": "developer"}', '{}', '198.51.100.9', 'GraceBrowser', '2024-02-04 10:00+00'),
  ('$G', '$O', 'create', 'user_session', gen_random_uuid(), NULL,
    '{"user_id": "$A", "ip_address": "203.0.113.7", "user_agent": "AdaBrowser"}', '{}', '198.51.100.9', 'GraceBrowser', now()),
  ('$G', '$O', 'create', 'project', '$P', NULL, '{"created_by": "$A", "name": "Engine"}',
    '{"mail": ["to ADA@example.org", {"deep": "\nada@example.org"}]}', '198.51.100.9', 'GraceBrowser', now()),
  -- What neither Ada did nor was done with her.
  ('$G', '$O', 'read', 'project', '$P', NULL, NULL,
    '{"mail": ["hada@example.org", "ada@example.org.uk", "x.ada@example.org"]}', '198.51.100.9', 'GraceBrowser', '2024-02-05 10:00+00');
INSERT INTO audit.system_logs (level, service, message, data, user_id, created_at)
VALUES ('warn', 'web', 'no login of ada@example.org.', '{"to": "Ada@Example.org"}', '$A', now()),
  ('warn', 'web', 'user $A is slow', NULL, NULL, '2024-02-03 10:00+00'),
  ('info', 'web', 'hada@example.org and ada@example.org.uk', '{"to": "hada@example.org"}', '$G', now());
