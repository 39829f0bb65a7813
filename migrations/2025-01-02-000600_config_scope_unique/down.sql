-- Duplicates that were renamed keep their new names.
SET LOCAL lock_timeout = '5s';

ALTER TABLE setup.configurations
  DROP CONSTRAINT unique_config_scope,
  ADD CONSTRAINT unique_config_scope
    UNIQUE (organization_id, project_id, category, name);
