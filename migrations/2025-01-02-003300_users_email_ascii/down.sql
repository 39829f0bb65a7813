SET LOCAL lock_timeout = '5s';

LOCK TABLE public.users IN SHARE MODE;

DO $$
DECLARE
  duplicates TEXT;
BEGIN
  SELECT pg_catalog.string_agg(emails, '; ' ORDER BY emails) INTO duplicates
  FROM (
    SELECT pg_catalog.string_agg(email, ', ' ORDER BY email) AS emails
    FROM public.users
    GROUP BY pg_catalog.lower(email)
    HAVING pg_catalog.count(*) > 1
  ) AS groups;
  IF duplicates IS NOT NULL THEN
    RAISE EXCEPTION 'emails differ in case only: %', duplicates
      USING ERRCODE = 'unique_violation',
        HINT = 'Change or merge these users, then migrate again.';
  END IF;
END
$$;

ALTER INDEX public.idx_users_email_lower RENAME TO idx_users_email_lower_of_ascii;
CREATE UNIQUE INDEX idx_users_email_lower ON public.users (pg_catalog.lower(email));
DROP INDEX public.idx_users_email_lower_of_ascii;
