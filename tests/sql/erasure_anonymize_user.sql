-- erasure_anonymize_user
-- (uuid)
UPDATE public.users
SET email = 'erased-' || id || '@erased.invalid', name = 'Erased user', avatar_url = NULL, github_username =
    NULL, preferences = '{}', is_active = FALSE, email_verified = FALSE, last_login_at = NULL, role = 'viewer'
WHERE id = $1
