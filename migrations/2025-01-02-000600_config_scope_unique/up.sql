-- unique_config_scope never applies to a global or organization setting, nor to a project's setting
-- without an organization: one of its columns is NULL there, and NULLs count as distinct. NULLS NOT
-- DISTINCT makes them equal.
SET LOCAL lock_timeout = '5s';

LOCK TABLE setup.configurations IN SHARE ROW EXCLUSIVE MODE;

-- Existing duplicates are kept. The newest keeps its name. The others get their id appended to
-- theirs, so that a person can find and judge them.
DO $$
DECLARE
  duplicate RECORD;
BEGIN
  FOR duplicate IN
    WITH ranked AS (
      SELECT id, name, row_number() OVER (
        PARTITION BY organization_id, project_id, category, name
        ORDER BY updated_at DESC, id DESC
      ) AS place
      FROM setup.configurations
    )
    SELECT id, name, format(' (duplicate %s)', id) AS suffix FROM ranked WHERE place > 1
  LOOP
    UPDATE setup.configurations
    SET name = left(duplicate.name, 255 - length(duplicate.suffix)) || duplicate.suffix
    WHERE id = duplicate.id;
    RAISE NOTICE 'configuration % has a newer twin: its name "%" now ends in "%"',
      duplicate.id, duplicate.name, duplicate.suffix;
  END LOOP;
END
$$;

ALTER TABLE setup.configurations
  DROP CONSTRAINT unique_config_scope,
  ADD CONSTRAINT unique_config_scope
    UNIQUE NULLS NOT DISTINCT (organization_id, project_id, category, name);
