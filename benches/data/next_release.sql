-- The findings of the analysis BASE again in the analysis NEXT, as a later release has them.
UPDATE analysis.analysis_issues SET status = 'ignored', resolved_at = NOW(), resolved_by = (
  SELECT created_by FROM analysis.analyses WHERE id = 'BASE'
)
WHERE analysis_id = 'BASE' AND hashtext(id::TEXT) % 100 IN (0, 1, 2);

INSERT INTO analysis.analysis_issues (
  analysis_id, type, severity, rule_id, title, description, file_path, line_number, column_number, end_line_number,
  end_column_number, code_snippet, fix_suggestion
)
SELECT 'NEXT', type, severity, rule_id,
  CASE WHEN hashtext(id::TEXT) % 50 = 7 THEN 'Another: ' || title ELSE title END,
  description, file_path, line_number + further, column_number, end_line_number + further, end_column_number,
  code_snippet, fix_suggestion
FROM analysis.analysis_issues, LATERAL (SELECT CASE WHEN hashtext(file_path) % 3 = 0 THEN 3 ELSE 0 END AS further) AS f
WHERE analysis_id = 'BASE';
