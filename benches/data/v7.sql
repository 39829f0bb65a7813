-- A UUID of version 7 for a time, with a random part that is the same in every run.
CREATE FUNCTION pg_temp.v7(at TIMESTAMPTZ, number BIGINT) RETURNS UUID LANGUAGE sql IMMUTABLE AS $$
  SELECT (
    lpad(to_hex((EXTRACT(EPOCH FROM at) * 1000)::BIGINT), 12, '0')
    || '7' || substr(digits, 1, 3) || '8' || substr(digits, 4, 15)
  )::UUID
  FROM md5(number::TEXT) AS digits
$$;
