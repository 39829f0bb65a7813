-- The design's user_sessions has the hashes of two tokens, but does not know when a session ends at
-- the latest, nor which refresh tokens it had before. Without these, a stolen refresh token that is
-- used after its owner's cannot be told from a wrong one.
--
-- A family is a session with all tokens that it ever had. It has an absolute end, which no refresh
-- exceeds, and the predecessor of its refresh token, which is accepted once more for a short time,
-- because the response to a refresh may have been lost. Every other rotated token ends the family.
SET LOCAL lock_timeout = '5s';

CREATE TABLE public.user_session_families (
  session_id UUID PRIMARY KEY REFERENCES public.user_sessions(id) ON DELETE CASCADE,
  ends_at TIMESTAMPTZ NOT NULL,
  predecessor_hash VARCHAR(255),
  predecessor_until TIMESTAMPTZ,
  CONSTRAINT valid_predecessor CHECK ((predecessor_hash IS NULL) = (predecessor_until IS NULL))
);

CREATE TABLE public.rotated_refresh_tokens (
  token_hash VARCHAR(255) PRIMARY KEY,
  session_id UUID NOT NULL REFERENCES public.user_sessions(id) ON DELETE CASCADE,
  expires_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX idx_rotated_refresh_tokens_session_id
  ON public.rotated_refresh_tokens (session_id);
CREATE INDEX idx_rotated_refresh_tokens_expires_at
  ON public.rotated_refresh_tokens (expires_at);

-- A user that is deactivated, or gets another role on the platform, is logged out everywhere, by
-- whatever client the row is written. The role that writes it needs no right to the sessions.
CREATE FUNCTION public.end_user_sessions() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF TG_RELID <> 'public.users'::pg_catalog.regclass THEN
    RAISE EXCEPTION 'public.end_user_sessions() is a trigger of public.users alone'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  DELETE FROM public.user_sessions WHERE user_id = NEW.id;
  RETURN NULL;
END;
$$;

REVOKE EXECUTE ON FUNCTION public.end_user_sessions() FROM PUBLIC;

CREATE TRIGGER trg_users_end_sessions AFTER UPDATE OF is_active, role ON public.users
  FOR EACH ROW WHEN ((OLD.is_active AND NOT NEW.is_active) OR OLD.role <> NEW.role)
  EXECUTE FUNCTION public.end_user_sessions();
