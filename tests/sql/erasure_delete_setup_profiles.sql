-- erasure_delete_setup_profiles
-- (uuid)
DELETE FROM setup.setup_profiles
WHERE organization_id = $1
RETURNING id
