SET LOCAL lock_timeout = '5s';

CREATE OR REPLACE FUNCTION public.set_updated_at() RETURNS TRIGGER
LANGUAGE plpgsql
AS $$
BEGIN
  NEW.updated_at := GREATEST(NOW(), OLD.updated_at + INTERVAL '1 microsecond');
  RETURN NEW;
END;
$$;
