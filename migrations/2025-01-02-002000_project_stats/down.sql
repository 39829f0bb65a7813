-- The design's view, as created by the first layer.
CREATE OR REPLACE VIEW cache.project_stats AS
SELECT
  p.id,
  p.name,
  COUNT(DISTINCT a.id) as total_analyses,
  COUNT(DISTINCT CASE WHEN a.status = 'completed' THEN a.id END) as completed_analyses,
  MAX(a.completed_at) as last_analysis_at,
  AVG(CASE WHEN a.status = 'completed' THEN
    CAST((a.summary->>'overallScore')::text AS DECIMAL)
  END) as avg_quality_score,
  COUNT(DISTINCT pm.user_id) as member_count
FROM public.projects p
LEFT JOIN analysis.analyses a ON p.id = a.project_id
LEFT JOIN public.project_members pm ON p.id = pm.project_id
WHERE p.status = 'active'
GROUP BY p.id, p.name;
