-- Email addresses are unique in the design, but case-sensitive: Ada@example.com and ada@example.com
-- are two users. This index makes them equal and serves lookups by lower(email).
SET LOCAL lock_timeout = '5s';

LOCK TABLE public.users IN SHARE MODE;

-- A migration cannot decide which of two accounts is the right one.
DO $$
DECLARE
  duplicates TEXT;
BEGIN
  SELECT string_agg(emails, '; ' ORDER BY emails) INTO duplicates
  FROM (
    SELECT string_agg(email, ', ' ORDER BY email) AS emails
    FROM public.users
    GROUP BY lower(email)
    HAVING COUNT(*) > 1
  ) AS groups;
  IF duplicates IS NOT NULL THEN
    RAISE EXCEPTION 'emails differ in case only: %', duplicates
      USING ERRCODE = 'unique_violation',
        HINT = 'Change or merge these users, then migrate again.';
  END IF;
END
$$;

CREATE UNIQUE INDEX idx_users_email_lower ON public.users (lower(email));
