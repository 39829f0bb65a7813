-- A statement of its own transaction that needs transaction-local settings would take three round
-- trips: BEGIN and the settings, the statement, COMMIT. These domains make it one. A value of such a
-- domain is an additional parameter of the statement. PostgreSQL converts the parameters of a
-- statement in its transaction, before it plans or executes anything of it. The conversion checks
-- the constraint, and that makes the setting until the end of the transaction.
--
-- Nothing is of these types but parameters. Every role may use them, as every role may set these
-- settings by set_config.
SET LOCAL lock_timeout = '5s';

CREATE DOMAIN public.for_organization AS pg_catalog.uuid
  CONSTRAINT sets_the_organization
  CHECK (pg_catalog.set_config('wundr.organization', VALUE::pg_catalog.text, true) IS NOT NULL);

CREATE DOMAIN public.acting_as AS pg_catalog.text
  CONSTRAINT sets_the_actor
  CHECK (pg_catalog.set_config('wundr.actor', VALUE, true) IS NOT NULL);
