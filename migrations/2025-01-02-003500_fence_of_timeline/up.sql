-- A standby that is promoted before it had the last claims gives their fences out again, as its sequence is behind.
-- A promotion begins a new timeline, and the timeline becomes the upper part of a fence: timeline * 2^40 + sequence.
-- It still rises with every claim. A trigger does this, since a role needs no right to the sequence of an identity
-- column, but would need one to the sequence of a default.
SET LOCAL lock_timeout = '5s';

CREATE FUNCTION analysis.raise_fence() RETURNS TRIGGER
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- The first eight digits of a WAL file's name are the timeline. The control file has an older one between a
  -- promotion and the next checkpoint.
  NEW.fence := NEW.fence
    + (('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::BIT(32)::BIGINT << 40);
  RETURN NEW;
END;
$$;

REVOKE EXECUTE ON FUNCTION analysis.raise_fence() FROM PUBLIC;

CREATE TRIGGER trg_analysis_leases_fence BEFORE INSERT OR UPDATE OF fence ON analysis.analysis_leases
  FOR EACH ROW EXECUTE FUNCTION analysis.raise_fence();
