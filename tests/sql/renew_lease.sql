-- analyses.renew
-- (uuid, int8, int8, int4, int4)
WITH held AS MATERIALIZED (
  SELECT id
  FROM analysis.analyses
  WHERE id = $1
  AND status = 'running'
  FOR NO KEY UPDATE
), lease AS MATERIALIZED (
  SELECT l.analysis_id
  FROM analysis.analysis_leases AS l
  JOIN held ON held.id = l.analysis_id
  WHERE l.fence = $2
  FOR UPDATE OF l
), renewed AS (
  UPDATE analysis.analysis_leases AS l
  SET expires_at = pg_catalog.statement_timestamp() + $3 * INTERVAL '1 microsecond'
  FROM lease
  WHERE l.analysis_id = lease.analysis_id
  RETURNING l.analysis_id, l.worker, l.fence, l.expires_at
), noted AS (
  UPDATE analysis.analyses
  SET progress = $4
  FROM lease
  WHERE analyses.id = lease.analysis_id
  AND analyses.progress < $5
)
SELECT analysis_id, worker, fence, expires_at
FROM renewed
