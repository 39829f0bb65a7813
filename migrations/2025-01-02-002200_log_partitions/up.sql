-- The design's children by inheritance receive no rows, have no key, no foreign keys and no
-- indexes, and make reading a row by id 900 times slower. The logs become partitioned by month of
-- created_at, with the design's names.
--
-- No row of the old table is copied, except those of this month and of months that have a child.
-- The old table becomes the default partition, which takes as long as building one key. Call
-- audit.create_monthly_partition for an older month to move its rows into a partition of their own.
SET LOCAL lock_timeout = '5s';

-- In the order in which writers lock: a writer that has changed a user and is about to log it goes
-- first.
LOCK TABLE public.users, public.organizations IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE audit.audit_logs, audit.system_logs IN ACCESS EXCLUSIVE MODE;

-- Objects that depend on the old tables would continue to see only these, which is the default
-- partition.
DO $$
DECLARE
  dependents TEXT;
BEGIN
  SELECT string_agg(DISTINCT pg_describe_object(d.classid, d.objid, 0), ', ') INTO dependents
  FROM pg_depend d
  WHERE d.refclassid = 'pg_class'::REGCLASS
    AND d.refobjid IN ('audit.audit_logs'::REGCLASS, 'audit.system_logs'::REGCLASS)
    AND d.classid IN ('pg_rewrite'::REGCLASS, 'pg_proc'::REGCLASS, 'pg_trigger'::REGCLASS,
      'pg_policy'::REGCLASS, 'pg_publication_rel'::REGCLASS);
  IF dependents IS NOT NULL THEN
    RAISE EXCEPTION 'the log tables are about to be replaced, and in use by %', dependents
      USING ERRCODE = 'dependent_objects_still_exist',
        HINT = 'Drop these, migrate, and create them again.';
  END IF;
END
$$;

ALTER TABLE audit.audit_logs RENAME TO audit_logs_default;
ALTER INDEX audit.idx_audit_logs_user_id RENAME TO audit_logs_default_user_id_idx;
ALTER INDEX audit.idx_audit_logs_org_id RENAME TO audit_logs_default_organization_id_idx;
ALTER INDEX audit.idx_audit_logs_action RENAME TO audit_logs_default_action_idx;
ALTER INDEX audit.idx_audit_logs_resource RENAME TO audit_logs_default_resource_type_resource_id_idx;
ALTER INDEX audit.idx_audit_logs_created_at RENAME TO audit_logs_default_created_at_idx;
ALTER INDEX audit.idx_audit_logs_org_created_id
  RENAME TO audit_logs_default_organization_id_created_at_id_idx;
ALTER TABLE audit.audit_logs_default
  DROP CONSTRAINT audit_logs_pkey,
  ADD CONSTRAINT audit_logs_default_pkey PRIMARY KEY (id, created_at);

ALTER TABLE audit.system_logs RENAME TO system_logs_default;
ALTER INDEX audit.idx_system_logs_level RENAME TO system_logs_default_level_idx;
ALTER INDEX audit.idx_system_logs_service RENAME TO system_logs_default_service_idx;
ALTER INDEX audit.idx_system_logs_correlation_id RENAME TO system_logs_default_correlation_id_idx;
ALTER INDEX audit.idx_system_logs_created_at RENAME TO system_logs_default_created_at_idx;
ALTER INDEX audit.idx_system_logs_user_id RENAME TO system_logs_default_user_id_idx;
ALTER TABLE audit.system_logs_default
  DROP CONSTRAINT system_logs_pkey,
  ADD CONSTRAINT system_logs_default_pkey PRIMARY KEY (id, created_at);

-- A unique key of a partitioned table must contain the partition key.
CREATE TABLE audit.audit_logs (
  LIKE audit.audit_logs_default
    INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS INCLUDING STORAGE,
  CONSTRAINT audit_logs_pkey PRIMARY KEY (id, created_at),
  CONSTRAINT audit_logs_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users (id),
  CONSTRAINT audit_logs_organization_id_fkey
    FOREIGN KEY (organization_id) REFERENCES public.organizations (id)
) PARTITION BY RANGE (created_at);

CREATE INDEX idx_audit_logs_user_id ON audit.audit_logs (user_id);
CREATE INDEX idx_audit_logs_org_id ON audit.audit_logs (organization_id);
CREATE INDEX idx_audit_logs_action ON audit.audit_logs (action);
CREATE INDEX idx_audit_logs_resource ON audit.audit_logs (resource_type, resource_id);
CREATE INDEX idx_audit_logs_created_at ON audit.audit_logs (created_at);
CREATE INDEX idx_audit_logs_org_created_id ON audit.audit_logs (organization_id, created_at DESC, id DESC);

CREATE TABLE audit.system_logs (
  LIKE audit.system_logs_default
    INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS INCLUDING STORAGE,
  CONSTRAINT system_logs_pkey PRIMARY KEY (id, created_at),
  CONSTRAINT system_logs_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users (id)
) PARTITION BY RANGE (created_at);

CREATE INDEX idx_system_logs_level ON audit.system_logs (level);
CREATE INDEX idx_system_logs_service ON audit.system_logs (service);
CREATE INDEX idx_system_logs_correlation_id ON audit.system_logs (correlation_id);
CREATE INDEX idx_system_logs_created_at ON audit.system_logs (created_at);
CREATE INDEX idx_system_logs_user_id ON audit.system_logs (user_id) WHERE user_id IS NOT NULL;

-- The owners and grantees of the old tables get the same rights on the new ones.
DO $$
DECLARE
  parent REGCLASS;
  old_table pg_class;
  acl RECORD;
BEGIN
  FOREACH parent IN ARRAY ARRAY['audit.audit_logs', 'audit.system_logs']::REGCLASS[] LOOP
    SELECT * INTO old_table FROM pg_class WHERE oid = to_regclass(parent || '_default');
    EXECUTE format('ALTER TABLE %s OWNER TO %I', parent, pg_get_userbyid(old_table.relowner));
    FOR acl IN
      SELECT a.privilege_type, a.is_grantable,
        CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
      FROM aclexplode(old_table.relacl) a
      WHERE a.grantee <> old_table.relowner
    LOOP
      EXECUTE format('GRANT %s ON %s TO %s %s', acl.privilege_type, parent, acl.grantee,
        CASE WHEN acl.is_grantable THEN 'WITH GRANT OPTION' ELSE '' END);
    END LOOP;
  END LOOP;
END
$$;

-- Existing children. One that is named after a month becomes that month's partition, with its rows
-- and with those of the month in the old table. Rows outside of the UTC month go to the old table:
-- the design's months are days of a session's time zone and may begin on any of them. All rows of
-- the other children also go there, and these children are then dropped.
DO $$
DECLARE
  log_table TEXT;
  parent REGCLASS;
  old_table REGCLASS;
  children REGCLASS[];
  child REGCLASS;
  column_names TEXT;
  ancestor REGCLASS;
  reference RECORD;
  replaced NAME;
  lost BIGINT;
  month TEXT;
  lower_bound TEXT;
  upper_bound TEXT;
BEGIN
  FOREACH log_table IN ARRAY ARRAY['audit_logs', 'system_logs'] LOOP
    parent := format('audit.%I', log_table)::REGCLASS;
    old_table := format('audit.%I', log_table || '_default')::REGCLASS;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO column_names
    FROM pg_attribute
    WHERE attrelid = old_table AND attnum > 0 AND NOT attisdropped;
    children := ARRAY(
      WITH RECURSIVE descendants AS (
        SELECT inhrelid FROM pg_inherits WHERE inhparent = old_table
        UNION
        SELECT i.inhrelid FROM pg_inherits i JOIN descendants d ON i.inhparent = d.inhrelid
      )
      SELECT inhrelid FROM descendants
    );

    FOREACH child IN ARRAY children LOOP
      IF EXISTS (
        SELECT attname FROM pg_attribute WHERE attrelid = child AND attnum > 0 AND NOT attisdropped
        EXCEPT
        SELECT attname FROM pg_attribute WHERE attrelid = old_table AND attnum > 0 AND NOT attisdropped
      ) THEN
        RAISE EXCEPTION '% has columns that audit.% has not, and cannot become a partition', child, log_table
          USING ERRCODE = 'wrong_object_type',
            HINT = format('ALTER TABLE %s NO INHERIT audit.%s, then migrate again.', child, log_table);
      END IF;
      FOR ancestor IN SELECT inhparent FROM pg_inherits WHERE inhrelid = child LOOP
        EXECUTE format('ALTER TABLE %s NO INHERIT %s', child, ancestor);
      END LOOP;

      -- A child had no foreign keys. A dangling reference is recorded in the row's JSON and
      -- removed, so that the row can be kept.
      FOR reference IN
        SELECT * FROM (VALUES
          ('audit_logs', 'user_id', 'public.users', 'metadata'),
          ('audit_logs', 'organization_id', 'public.organizations', 'metadata'),
          ('system_logs', 'user_id', 'public.users', 'data')
        ) AS r (log, key, target, notes)
        WHERE r.log = log_table
      LOOP
        EXECUTE format(
          'UPDATE %1$s AS l SET
             %2$I = NULL,
             %4$I = CASE
                 WHEN l.%4$I IS NULL THEN ''{}''
                 WHEN jsonb_typeof(l.%4$I) = ''object'' THEN l.%4$I
                 ELSE jsonb_build_object(%4$L, l.%4$I)
               END || jsonb_build_object(%5$L, l.%2$I)
           WHERE l.%2$I IS NOT NULL AND NOT EXISTS (SELECT FROM %3$s t WHERE t.id = l.%2$I)',
          child, reference.key, reference.target, reference.notes, 'dangling_' || reference.key);
        GET DIAGNOSTICS lost = ROW_COUNT;
        IF lost > 0 THEN
          RAISE NOTICE '% rows of % had a % that is not there: it is now %."dangling_%"',
            lost, child, reference.key, reference.notes, reference.key;
        END IF;
      END LOOP;

      -- The key and the bound of a partition replace the child's own constraints.
      FOR replaced IN
        SELECT k.conname FROM pg_constraint k
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attname = 'created_at'
        WHERE k.conrelid = child
          AND (k.contype = 'p' OR (k.contype = 'c' AND k.conkey = ARRAY[a.attnum]))
      LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', child, replaced);
      END LOOP;

      SELECT substring(relname FROM '^' || log_table || '_([1-9][0-9]{3}_(?:0[1-9]|1[0-2]))$') INTO month
      FROM pg_class WHERE oid = child;
      IF month IS NULL THEN
        EXECUTE format('INSERT INTO %1$s (%3$s) SELECT %3$s FROM %2$s', old_table, child, column_names);
        EXECUTE format('DROP TABLE %s', child);
        children := array_remove(children, child);
      ELSE
        lower_bound := replace(month, '_', '-') || '-01 00:00:00+00';
        upper_bound := to_char(to_date(month, 'YYYY_MM') + INTERVAL '1 month', 'YYYY-MM-DD 00:00:00+00');
        EXECUTE format(
          'WITH moved AS (
             DELETE FROM %2$s WHERE created_at < %4$L OR created_at >= %5$L RETURNING %3$s
           )
           INSERT INTO %1$s (%3$s) SELECT %3$s FROM moved',
          old_table, child, column_names, lower_bound, upper_bound);
      END IF;
    END LOOP;

    -- From here on, the old table contains every row that is in no child of its month.
    FOREACH child IN ARRAY children LOOP
      SELECT right(relname, 7) INTO month FROM pg_class WHERE oid = child;
      lower_bound := replace(month, '_', '-') || '-01 00:00:00+00';
      upper_bound := to_char(to_date(month, 'YYYY_MM') + INTERVAL '1 month', 'YYYY-MM-DD 00:00:00+00');
      EXECUTE format(
        'WITH moved AS (
           DELETE FROM %1$s WHERE created_at >= %4$L AND created_at < %5$L RETURNING %3$s
         )
         INSERT INTO %2$s (%3$s) SELECT %3$s FROM moved',
        old_table, child, column_names, lower_bound, upper_bound);
      EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (id, created_at)', child);
      EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
        parent, child, lower_bound, upper_bound);
    END LOOP;
  END LOOP;
END
$$;

ALTER TABLE audit.audit_logs ATTACH PARTITION audit.audit_logs_default DEFAULT;
ALTER TABLE audit.system_logs ATTACH PARTITION audit.system_logs_default DEFAULT;

-- This month and the next three, in UTC, which leaves time to create later months.
DO $$
DECLARE
  log_table TEXT;
  month DATE;
BEGIN
  FOREACH log_table IN ARRAY ARRAY['audit.audit_logs', 'audit.system_logs'] LOOP
    FOR month IN
      SELECT (NOW() AT TIME ZONE 'UTC' + make_interval(months => n))::DATE FROM generate_series(0, 3) AS n
    LOOP
      PERFORM audit.create_monthly_partition(log_table, month);
    END LOOP;
  END LOOP;
END
$$;
