-- lower(email) follows the collation of the database: in Turkish, lower('I') is not 'i', so that INFO@example.com and
-- info@example.com were two users. With the collation "C" the 26 letters of ASCII are folded and nothing else, in
-- every database. The index is built anew in any case: one that was made while another schema had a function lower()
-- may use that.
SET LOCAL lock_timeout = '5s';

LOCK TABLE public.users IN SHARE MODE;

-- Which of two accounts is the right one is not for a migration to say.
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
