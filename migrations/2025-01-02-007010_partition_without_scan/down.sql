-- The function of migration 2025-01-02-006210.
CREATE OR REPLACE FUNCTION audit.create_monthly_partition(table_name TEXT, start_date DATE)
RETURNS VOID
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name_parts TEXT[];
  parent REGCLASS;
  parent_schema TEXT;
  parent_name TEXT;
  parent_owner OID;
  default_partition REGCLASS;
  partition_name TEXT;
  new_partition TEXT;
  existing REGCLASS;
  referenced REGCLASS;
  first_day DATE;
  lower_bound TEXT;
  upper_bound TEXT;
  column_names TEXT;
  is_append_only BOOLEAN;
BEGIN
  IF table_name IS NULL OR start_date IS NULL THEN
    RAISE EXCEPTION 'table_name and start_date must not be null'
      USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF start_date NOT BETWEEN DATE '0001-01-01' AND DATE '9999-11-30' THEN
    RAISE EXCEPTION 'start_date % is out of range', start_date
      USING ERRCODE = 'datetime_field_overflow';
  END IF;

  name_parts := parse_ident(table_name);
  IF cardinality(name_parts) = 1 THEN
    name_parts := array_prepend('audit', name_parts);
  ELSIF cardinality(name_parts) > 2 THEN
    RAISE EXCEPTION '"%" is not the name of a table', table_name
      USING ERRCODE = 'invalid_name';
  END IF;
  parent := to_regclass(format('%I.%I', name_parts[1], name_parts[2]));
  IF parent IS NULL THEN
    RAISE EXCEPTION 'table %.% does not exist', name_parts[1], name_parts[2]
      USING ERRCODE = 'undefined_table';
  END IF;

  PERFORM pg_advisory_xact_lock(hashtext('audit.create_monthly_partition'), parent::OID::INTEGER);

  SELECT c.relnamespace::REGNAMESPACE::TEXT, c.relname, c.relowner, NULLIF(p.partdefid, 0)::REGCLASS
  INTO parent_schema, parent_name, parent_owner, default_partition
  FROM pg_partitioned_table p
  JOIN pg_class c ON c.oid = p.partrelid
  JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
  WHERE p.partrelid = parent
    AND p.partstrat = 'r'
    AND p.partnatts = 1
    AND a.attname = 'created_at'
    AND a.atttypid = 'timestamptz'::REGTYPE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'table % is not partitioned by range of created_at', parent
      USING ERRCODE = 'wrong_object_type';
  END IF;

  first_day := date_trunc('month', start_date::TIMESTAMP)::DATE;
  lower_bound := to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00';
  upper_bound := to_char(first_day + INTERVAL '1 month', 'YYYY-MM-DD') || ' 00:00:00+00';
  partition_name := parent_name || to_char(first_day, '_YYYY_MM');
  IF octet_length(partition_name) > 63 THEN
    RAISE EXCEPTION 'partition name % is longer than 63 bytes', partition_name
      USING ERRCODE = 'name_too_long';
  END IF;
  new_partition := parent_schema || '.' || quote_ident(partition_name);

  existing := to_regclass(new_partition);
  IF existing IS NOT NULL THEN
    IF EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = existing AND i.inhparent = parent) THEN
      RETURN;
    END IF;
    RAISE EXCEPTION 'table % is there and is no partition of %', existing, parent
      USING ERRCODE = 'duplicate_table';
  END IF;

  IF default_partition IS NOT NULL THEN
    -- Rows of the current month arrive while this runs. Their writers must wait until the partition
    -- exists, since a writer that has already chosen the default partition fails. Writers that hold
    -- a row of a table which the log references, and are about to write to the log, go first.
    IF NOW() >= lower_bound::TIMESTAMPTZ AND NOW() < upper_bound::TIMESTAMPTZ THEN
      FOR referenced IN
        SELECT DISTINCT k.confrelid::REGCLASS FROM pg_constraint k
        WHERE k.conrelid = parent AND k.contype = 'f'
      LOOP
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', referenced);
      END LOOP;
      EXECUTE format('LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE', parent);
    END IF;
    -- A row that arrived between the move and ATTACH would make ATTACH fail.
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', default_partition);
  END IF;

  -- Filled and indexed before it is attached, with the CHECK that saves ATTACH a scan.
  EXECUTE format(
    'CREATE TABLE %s (LIKE %s INCLUDING ALL,
       CONSTRAINT within_month CHECK (created_at >= %L AND created_at < %L))',
    new_partition, parent, lower_bound, upper_bound);
  EXECUTE format('ALTER TABLE %s OWNER TO %I', new_partition, pg_get_userbyid(parent_owner));
  -- A partition that is attached gets the row triggers of its parent, and not those of statements.
  is_append_only := EXISTS (SELECT FROM pg_trigger
    WHERE tgrelid = parent AND tgname = 'trg_audit_logs_append_only');
  IF is_append_only THEN
    EXECUTE format('CREATE TRIGGER trg_audit_logs_no_truncate BEFORE TRUNCATE ON %s
      FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', new_partition);
  END IF;

  IF default_partition IS NOT NULL THEN
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO column_names
    FROM pg_attribute a
    WHERE a.attrelid = parent AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
    -- The table is locked: no other session can delete rows meanwhile.
    IF is_append_only THEN
      EXECUTE format('ALTER TABLE %s DISABLE TRIGGER trg_audit_logs_append_only', default_partition);
    END IF;
    EXECUTE format(
      'WITH moved AS (
         DELETE FROM %1$s WHERE created_at >= %3$L AND created_at < %4$L RETURNING %5$s
       )
       INSERT INTO %2$s (%5$s) SELECT %5$s FROM moved',
      default_partition, new_partition, lower_bound, upper_bound, column_names);
    IF is_append_only THEN
      EXECUTE format('ALTER TABLE %s ENABLE TRIGGER trg_audit_logs_append_only', default_partition);
    END IF;
  END IF;

  EXECUTE format(
    'ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
    parent, new_partition, lower_bound, upper_bound);
  EXECUTE format('ALTER TABLE %s DROP CONSTRAINT within_month', new_partition);
END;
$$;
