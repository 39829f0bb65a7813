-- lower(email) depends on the collation of the database. In Turkish, lower('I') is not 'i', so that
-- INFO@example.com and info@example.com were two users. The collation "C" folds the 26 letters of
-- ASCII and nothing else, in every database. The index is always built again, since an existing one
-- may use a function lower() of another schema.
SET LOCAL lock_timeout = '5s';

LOCK TABLE public.users IN SHARE MODE;

-- A migration cannot decide which of two accounts is the right one.
DO $$
DECLARE
  duplicates TEXT;
BEGIN
  SELECT pg_catalog.string_agg(emails, '; ' ORDER BY emails) INTO duplicates
  FROM (
    SELECT pg_catalog.string_agg(email, ', ' ORDER BY email) AS emails
    FROM public.users
    GROUP BY pg_catalog.lower(email COLLATE pg_catalog."C")
    HAVING pg_catalog.count(*) > 1
  ) AS groups;
  IF duplicates IS NOT NULL THEN
    RAISE EXCEPTION 'emails differ in the case of ASCII letters only: %', duplicates
      USING ERRCODE = 'unique_violation',
        HINT = 'Change or merge these users, then migrate again.';
  END IF;
END
$$;

ALTER INDEX public.idx_users_email_lower RENAME TO idx_users_email_lower_of_collation;
CREATE UNIQUE INDEX idx_users_email_lower ON public.users (pg_catalog.lower(email COLLATE pg_catalog."C"));
DROP INDEX public.idx_users_email_lower_of_collation;
