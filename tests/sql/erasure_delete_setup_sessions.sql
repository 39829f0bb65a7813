-- erasure_delete_setup_sessions
-- (uuid)
DELETE FROM setup.setup_sessions
WHERE profile_id IN (
  SELECT id
  FROM setup.setup_profiles
  WHERE organization_id = $1
)
