-- A standby that is promoted without the last claims would assign their fences again, since its
-- sequence is behind. A promotion begins a new timeline. The timeline becomes the upper part of a
-- fence: timeline * 2^40 + sequence. The fence still rises with every claim. A trigger computes it,
-- since a role needs no right to the sequence of an identity column, but would need one to the
-- sequence of a default.
SET LOCAL lock_timeout = '5s';

CREATE FUNCTION analysis.raise_fence() RETURNS TRIGGER
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- The first eight digits of a WAL file's name are the timeline. The control file contains an
  -- older one between a promotion and the next checkpoint.
  NEW.fence := NEW.fence
    + (('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::BIT(32)::BIGINT << 40);
  RETURN NEW;
END;
$$;

REVOKE EXECUTE ON FUNCTION analysis.raise_fence() FROM PUBLIC;

CREATE TRIGGER trg_analysis_leases_fence BEFORE INSERT OR UPDATE OF fence ON analysis.analysis_leases
  FOR EACH ROW EXECUTE FUNCTION analysis.raise_fence();
