DO $$
BEGIN
  EXECUTE format('ALTER DATABASE %I RESET search_path', current_database());
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'search_path of database % is left as it is: only its owner can set it', current_database();
END
$$;
