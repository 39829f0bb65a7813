SET LOCAL lock_timeout = '5s';

DROP DOMAIN public.acting_as;
DROP DOMAIN public.for_organization;
