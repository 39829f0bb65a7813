-- The design's function, as created by the first layer.
CREATE OR REPLACE FUNCTION audit.create_monthly_partition(table_name TEXT, start_date DATE)
RETURNS VOID AS $$
DECLARE
  partition_name TEXT;
  end_date DATE;
BEGIN
  partition_name := table_name || '_' || TO_CHAR(start_date, 'YYYY_MM');
  end_date := start_date + INTERVAL '1 month';

  EXECUTE format('CREATE TABLE audit.%I (CHECK (created_at >= %L AND created_at < %L)) INHERITS (audit.%I)',
                partition_name, start_date, end_date, table_name);

  EXECUTE format('CREATE INDEX %I ON audit.%I (created_at)',
                'idx_' || partition_name || '_created_at', partition_name);
END;
$$ LANGUAGE plpgsql;
