SET LOCAL lock_timeout = '5s';

-- The tables that are watched depend on the function by their triggers alone.
DROP FUNCTION audit.record_change() CASCADE;
DROP FUNCTION audit.new_entry_id();
