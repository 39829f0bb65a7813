-- The design has nothing that marks an analysis as worth keeping: a release, or the base of a
-- quality gate. Without a mark, a retention by age deletes it. A pin is such a mark, with a reason.
-- An analysis can have several, each of which keeps it.
--
-- A large analysis is removed in several transactions. A row of analysis_removals says that this
-- has begun, so that it is brought to an end, and so that the analysis is neither pinned nor
-- compared with another one meanwhile.
SET LOCAL lock_timeout = '5s';

CREATE TABLE analysis.analysis_pins (
  analysis_id UUID NOT NULL REFERENCES analysis.analyses(id) ON DELETE CASCADE,
  reason VARCHAR(255) NOT NULL,
  pinned_by UUID REFERENCES public.users(id) ON DELETE SET NULL,
  pinned_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  PRIMARY KEY (analysis_id, reason)
);

CREATE INDEX idx_analysis_pins_pinned_by ON analysis.analysis_pins (pinned_by);

CREATE TABLE analysis.analysis_removals (
  analysis_id UUID PRIMARY KEY REFERENCES analysis.analyses(id) ON DELETE CASCADE,
  begun_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

-- Refuses to pin an analysis whose removal has begun. The insertion meets the key of a row that the
-- snapshot of the transaction does not see. The analysis is locked first, as the removal does:
-- otherwise both could wait for each other. The role that pins needs no right to the removals.
CREATE FUNCTION analysis.refuse_pin_of_removed() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF TG_RELID <> 'analysis.analysis_pins'::pg_catalog.regclass THEN
    RAISE EXCEPTION 'analysis.refuse_pin_of_removed() is a trigger of analysis.analysis_pins alone'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  PERFORM FROM analysis.analyses WHERE id = NEW.analysis_id FOR KEY SHARE;
  IF FOUND THEN
    INSERT INTO analysis.analysis_removals (analysis_id) VALUES (NEW.analysis_id);
    DELETE FROM analysis.analysis_removals WHERE analysis_id = NEW.analysis_id;
  END IF;
  RETURN NEW;
END;
$$;

REVOKE EXECUTE ON FUNCTION analysis.refuse_pin_of_removed() FROM PUBLIC;

CREATE TRIGGER trg_analysis_pins_removed BEFORE INSERT OR UPDATE OF analysis_id
  ON analysis.analysis_pins
  FOR EACH ROW EXECUTE FUNCTION analysis.refuse_pin_of_removed();
