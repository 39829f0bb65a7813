DROP TABLE setup.integrations;
DROP TABLE setup.configurations;
DROP TABLE setup.tools;
DROP TABLE setup.setup_steps;
DROP TABLE setup.setup_sessions;
DROP TABLE setup.setup_profiles;

DROP TYPE setup.sync_status;
DROP TYPE setup.integration_type;
DROP TYPE setup.config_category;
DROP TYPE setup.config_scope;
DROP TYPE setup.platform;
DROP TYPE setup.tool_category;
DROP TYPE setup.step_status;
DROP TYPE setup.session_status;
DROP TYPE setup.profile_visibility;
DROP TYPE setup.setup_category;

-- The schema may hold things that are not ours.
DO $$
BEGIN
  DROP SCHEMA setup;
EXCEPTION WHEN dependent_objects_still_exist THEN
  RAISE NOTICE 'schema setup is kept: it is not empty';
END
$$;
