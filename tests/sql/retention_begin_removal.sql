-- retention_begin_removal
-- (uuid)
INSERT INTO analysis.analysis_removals (analysis_id)
VALUES ($1)
ON CONFLICT (analysis_id) DO NOTHING
