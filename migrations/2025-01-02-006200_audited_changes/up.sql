-- The design has a table for the audit log, and nothing that writes it. A trigger does, for every
-- writer: this crate, psql, other applications, ON DELETE CASCADE. No table has the trigger until
-- one is created for it, which wundr_db::audit::watch does. This migration alone records nothing.
--
-- The trigger runs with the rights of the owner of the function. A role that writes a watched table
-- needs no right to the log, and cannot write without an entry. Only the owner may create triggers
-- of the function. It refuses every table that is not one of the design's: a table of another role
-- could have types whose casts run that role's code.
--
-- The setting wundr.actor says on whose behalf a transaction writes. It is local to the
-- transaction. Every role may set it: it is what the application claims. The role of the session
-- cannot be claimed, and is in the metadata of the entry.
SET LOCAL lock_timeout = '5s';

-- Returns a version 7 UUID of the current time. The time leads to the partition of an entry.
CREATE FUNCTION audit.new_entry_id() RETURNS UUID
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN pg_catalog.encode(
  pg_catalog.set_bit(pg_catalog.set_bit(
    pg_catalog.overlay(
      pg_catalog.uuid_send(pg_catalog.gen_random_uuid()),
      pg_catalog.substring(pg_catalog.int8send(
        (EXTRACT(EPOCH FROM pg_catalog.clock_timestamp()) * 1000)::BIGINT), 3),
      1, 6),
    52, 1), 53, 1),
  'hex')::UUID;

REVOKE EXECUTE ON FUNCTION audit.new_entry_id() FROM PUBLIC;

-- The first argument of a trigger is the type of the resource, the others are the columns whose
-- values are recorded. The triggers of INSERT and DELETE run once for a statement, with the tables
-- new_rows and old_rows.
CREATE FUNCTION audit.record_change() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  resource CONSTANT TEXT := TG_ARGV[0];
  watched CONSTANT TEXT[] := TG_ARGV[1:];
  actor CONSTANT JSONB := NULLIF(current_setting('wundr.actor', true), '')::JSONB;
  actor_user UUID := (actor ->> 'user')::UUID;
  actor_organization UUID := (actor ->> 'organization')::UUID;
  context JSONB := jsonb_strip_nulls(
    jsonb_build_object('role', session_user, 'request', actor -> 'request'));
  old_row JSONB;
  new_row JSONB;
  old_values JSONB;
  new_values JSONB;
BEGIN
  -- This comes first: nothing of another table is evaluated.
  IF NOT (TG_TABLE_SCHEMA = 'public' AND TG_TABLE_NAME IN ('users', 'user_sessions',
      'organizations', 'organization_members', 'projects', 'project_members')
    OR TG_TABLE_SCHEMA = 'analysis' AND TG_TABLE_NAME IN ('analyses', 'analysis_results',
      'analysis_issues', 'analysis_metrics', 'dependency_graphs', 'duplicate_groups')
    OR TG_TABLE_SCHEMA = 'setup' AND TG_TABLE_NAME IN ('setup_profiles', 'setup_sessions',
      'setup_steps', 'tools', 'configurations', 'integrations')) THEN
    RAISE EXCEPTION 'audit.record_change() is a trigger of the tables of the design alone'
      USING ERRCODE = 'insufficient_privilege';
  END IF;

  -- An entry refers to a user and an organization that exist. The change may delete either.
  IF TG_OP IN ('DELETE', 'TRUNCATE') THEN
    IF actor_user IS NOT NULL
      AND NOT EXISTS (SELECT FROM public.users WHERE id = actor_user) THEN
      context := context || jsonb_build_object('user', actor_user);
      actor_user := NULL;
    END IF;
    IF actor_organization IS NOT NULL
      AND NOT EXISTS (SELECT FROM public.organizations WHERE id = actor_organization) THEN
      context := context || jsonb_build_object('organization', actor_organization);
      actor_organization := NULL;
    END IF;
  END IF;

  IF TG_OP = 'UPDATE' THEN
    old_row := to_jsonb(OLD);
    new_row := to_jsonb(NEW);
    SELECT jsonb_object_agg(name, old_row -> name), jsonb_object_agg(name, new_row -> name)
    INTO old_values, new_values
    FROM unnest(watched) AS name
    WHERE old_row -> name IS DISTINCT FROM new_row -> name;
    INSERT INTO audit.audit_logs (id, user_id, organization_id, action, resource_type, resource_id,
      old_values, new_values, metadata, ip_address, user_agent)
    VALUES (audit.new_entry_id(), actor_user, actor_organization, 'update', resource, NEW.id,
      old_values, new_values, context, (actor ->> 'ip')::INET, actor ->> 'user_agent');
  ELSIF TG_OP = 'INSERT' THEN
    INSERT INTO audit.audit_logs (id, user_id, organization_id, action, resource_type, resource_id,
      new_values, metadata, ip_address, user_agent)
    SELECT audit.new_entry_id(), actor_user, actor_organization, 'create', resource, r.id,
      (SELECT jsonb_object_agg(name, r.document -> name) FROM unnest(watched) AS name),
      context, (actor ->> 'ip')::INET, actor ->> 'user_agent'
    FROM (SELECT n.id, to_jsonb(n) AS document FROM new_rows AS n OFFSET 0) AS r;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO audit.audit_logs (id, user_id, organization_id, action, resource_type, resource_id,
      old_values, metadata, ip_address, user_agent)
    SELECT audit.new_entry_id(), actor_user, actor_organization, 'delete', resource, r.id,
      (SELECT jsonb_object_agg(name, r.document -> name) FROM unnest(watched) AS name),
      context, (actor ->> 'ip')::INET, actor ->> 'user_agent'
    FROM (SELECT o.id, to_jsonb(o) AS document FROM old_rows AS o OFFSET 0) AS r;
  ELSE
    -- TRUNCATE: one entry stands for all rows.
    INSERT INTO audit.audit_logs (id, user_id, organization_id, action, resource_type, metadata,
      ip_address, user_agent)
    VALUES (audit.new_entry_id(), actor_user, actor_organization, 'delete', resource,
      context || '{"truncated": true}', (actor ->> 'ip')::INET, actor ->> 'user_agent');
  END IF;
  RETURN NULL;
END;
$$;

REVOKE EXECUTE ON FUNCTION audit.record_change() FROM PUBLIC;
