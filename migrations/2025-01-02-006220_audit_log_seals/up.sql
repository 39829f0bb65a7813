-- A seal keeps what a month of the audit log contained when it was sealed, so that an entry that is
-- changed, added or removed later is found, whatever role did it. Each page has the digests of up
-- to 1,000 entries, and a hash of these and of the page before: a chain, whose end is the hash of
-- the seal. Whoever can write these tables can seal again; the hash is kept elsewhere against that.
--
-- A seal is written by audit_logs().seal(), which needs INSERT on both tables. To verify needs
-- SELECT on these and on the log. Neither is ever changed.
SET LOCAL lock_timeout = '5s';

CREATE TABLE audit.audit_log_seals (
  month DATE PRIMARY KEY,
  entries BIGINT NOT NULL,
  hash BYTEA NOT NULL,
  sealed_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  CONSTRAINT first_of_month CHECK (EXTRACT(DAY FROM month) = 1)
);

CREATE TABLE audit.audit_log_seal_pages (
  month DATE NOT NULL,
  page INTEGER NOT NULL,
  first_created_at TIMESTAMPTZ NOT NULL,
  first_id UUID NOT NULL,
  ids UUID[] NOT NULL,
  digests BYTEA[] NOT NULL,
  hash BYTEA NOT NULL,
  PRIMARY KEY (month, page),
  CONSTRAINT one_digest_for_each_id CHECK (pg_catalog.cardinality(ids) = pg_catalog.cardinality(digests))
);

CREATE TRIGGER trg_audit_log_seals_append_only
  BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.audit_log_seals
  FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();

CREATE TRIGGER trg_audit_log_seal_pages_append_only
  BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.audit_log_seal_pages
  FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
