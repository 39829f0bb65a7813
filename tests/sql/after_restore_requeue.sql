-- after_restore_requeue
-- ()
UPDATE analysis.analyses
SET status = 'pending', progress = 0, started_at = NULL, completed_at = NULL, duration_seconds = NULL
WHERE status = 'running'
AND id IN (
  SELECT analysis_id
  FROM analysis.analysis_leases
)
