-- quality_gates.evaluate
-- (uuid, bool, uuid, uuid, text[], int4[])
WITH comparison AS MATERIALIZED (
  SELECT base_project, new_project, completed_at, summary, CASE WHEN base_project = new_project THEN base_id
      END AS base, CASE WHEN base_project = new_project OR is_alone THEN new_id END AS new, findings
  FROM (
    SELECT $1::pg_catalog.uuid IS NULL AS is_alone, $2::pg_catalog.bool AS findings
  ) AS parameters
  LEFT JOIN (
    SELECT id AS base_id, project_id AS base_project
    FROM analysis.analyses
    WHERE id = $3
    AND NOT EXISTS (
      SELECT
      FROM analysis.analysis_removals
      WHERE analysis_removals.analysis_id = analyses.id
    )
  ) AS base ON TRUE
  LEFT JOIN (
    SELECT id AS new_id, project_id AS new_project, completed_at, summary
    FROM analysis.analyses
    WHERE id = $4
  ) AS new ON TRUE
), finding AS MATERIALIZED ((
  SELECT id, FALSE AS is_new, status, line_number AS line, column_number AS col, pg_catalog.hashtextextended(file_path,
      0) AS path_hash, CASE WHEN rule_id IS NULL THEN pg_catalog.hashtextextended(type::pg_catalog.text, 1)
      ELSE pg_catalog.hashtextextended(rule_id, 0) END AS rule_hash, pg_catalog.hashtextextended(title,
      pg_catalog.hashtextextended(COALESCE(description, ''), pg_catalog.hashtextextended(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', ''), CASE WHEN rule_id IS NULL THEN pg_catalog.hashtextextended(type::pg_catalog.text,
      1) ELSE pg_catalog.hashtextextended(rule_id, 0) END))) AS exact_hash
  FROM analysis.analysis_issues
  WHERE analysis_id = (
    SELECT base
    FROM comparison
    WHERE findings
  )
  LIMIT (
    SELECT 9223372036854775807
  )
) UNION ALL (
  SELECT id, TRUE AS is_new, status, line_number AS line, column_number AS col, pg_catalog.hashtextextended(file_path,
      0) AS path_hash, CASE WHEN rule_id IS NULL THEN pg_catalog.hashtextextended(type::pg_catalog.text, 1)
      ELSE pg_catalog.hashtextextended(rule_id, 0) END AS rule_hash, pg_catalog.hashtextextended(title,
      pg_catalog.hashtextextended(COALESCE(description, ''), pg_catalog.hashtextextended(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', ''), CASE WHEN rule_id IS NULL THEN pg_catalog.hashtextextended(type::pg_catalog.text,
      1) ELSE pg_catalog.hashtextextended(rule_id, 0) END))) AS exact_hash
  FROM analysis.analysis_issues
  WHERE analysis_id = (
    SELECT new
    FROM comparison
    WHERE findings
  )
  LIMIT (
    SELECT 9223372036854775807
  )
)), unshared_path AS MATERIALIZED (
  SELECT path_hash
  FROM (
    SELECT path_hash, is_new
    FROM finding
    UNION ALL
    SELECT pg_catalog.hashtextextended(file_path, 0), FALSE
    FROM analysis.analysis_results
    WHERE analysis_id = (
      SELECT base
      FROM comparison
      WHERE findings
    )
    UNION ALL
    SELECT pg_catalog.hashtextextended(file_path, 0), TRUE
    FROM analysis.analysis_results
    WHERE analysis_id = (
      SELECT new
      FROM comparison
      WHERE findings
    )
  ) AS named
  GROUP BY path_hash
  HAVING pg_catalog.bool_and(is_new) OR NOT pg_catalog.bool_or(is_new)
), unshared_file_finding AS MATERIALIZED (
  SELECT id, is_new, path_hash, exact_hash
  FROM finding
  WHERE (path_hash IN (
    SELECT path_hash
    FROM unshared_path
  )) IS TRUE
), file_fingerprint AS (
  SELECT path_hash, is_new, findings_hash, findings, (
    SELECT file_path
    FROM analysis.analysis_issues
    WHERE id = any_id
  ) AS file_path
  FROM (
    SELECT path_hash, is_new, pg_catalog.bit_xor(exact_hash) AS findings_hash, pg_catalog.count(*) AS findings,
        (pg_catalog.array_agg(id))[1] AS any_id
    FROM unshared_file_finding
    GROUP BY path_hash, is_new
  ) AS summed
  OFFSET 0
), numbered_fingerprint AS (
  SELECT path_hash, is_new, name, findings_hash, findings, pg_catalog.row_number() OVER (PARTITION BY name,
      findings_hash, findings, is_new ORDER BY file_path COLLATE pg_catalog."C") AS row_index
  FROM (
    SELECT *, pg_catalog.substring(file_path, '[^/]*$') AS name
    FROM file_fingerprint
  ) AS named
), rename_candidate AS (
  SELECT pg_catalog.min(path_hash) FILTER (WHERE NOT is_new) AS old_path, pg_catalog.min(path_hash) FILTER (WHERE
      is_new) AS new_path, 2 AS score
  FROM unshared_file_finding
  GROUP BY exact_hash
  HAVING pg_catalog.min(path_hash) FILTER (WHERE NOT is_new) = pg_catalog.max(path_hash) FILTER (WHERE NOT
      is_new)
  AND pg_catalog.min(path_hash) FILTER (WHERE is_new) = pg_catalog.max(path_hash) FILTER (WHERE is_new)
  UNION ALL
  SELECT pg_catalog.max(path_hash) FILTER (WHERE NOT is_new), pg_catalog.max(path_hash) FILTER (WHERE is_new),
      1
  FROM numbered_fingerprint
  GROUP BY name, findings_hash, findings, row_index
  HAVING pg_catalog.count(*) = 2
), renamed AS MATERIALIZED (
  SELECT COALESCE(pg_catalog.jsonb_object_agg(old_path, new_path), '{}') AS new_path_of
  FROM (
    SELECT old_path, new_path, pg_catalog.row_number() OVER (PARTITION BY old_path ORDER BY pg_catalog.sum(score)
        DESC, new_path) AS rank_for_old, pg_catalog.row_number() OVER (PARTITION BY new_path ORDER BY
        pg_catalog.sum(score) DESC, old_path) AS rank_for_new
    FROM rename_candidate
    GROUP BY old_path, new_path
  ) AS ranked
  WHERE rank_for_old = 1
  AND rank_for_new = 1
), located AS (
  SELECT *, CASE WHEN is_new THEN path_hash ELSE COALESCE(((
    SELECT new_path_of
    FROM renamed
  ) ->> path_hash::pg_catalog.text)::pg_catalog.int8, path_hash) END AS file, FALSE AS is_paired
  FROM finding
), exact_equal_count AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, in_new = in_base AS is_paired,
      in_new > 0
  AND in_base > 0 AS is_in_both, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path_hash, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line,
      in_base::pg_catalog.int4) OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4)
      OVER in_order AS base_status
  FROM (
    SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, key, pg_catalog.row_number()
        OVER all_of_key AS row_index, pg_catalog.count(*) FILTER (WHERE is_new) OVER all_of_key AS in_new,
        pg_catalog.count(*) FILTER (WHERE NOT is_new) OVER all_of_key AS in_base
    FROM (
      SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, pg_catalog.hashint8extended(exact_hash,
          file) AS key
      FROM located
      WHERE NOT is_paired
    ) AS keyed
    WINDOW all_of_key AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), ambiguous_file AS MATERIALIZED (
  SELECT DISTINCT file
  FROM exact_equal_count
  WHERE is_in_both
  AND NOT is_paired
), line_shift AS (
  SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, is_in_both, is_paired, CASE
      WHEN is_new THEN line - COALESCE((pg_catalog.max(CASE WHEN is_paired AND pg_catalog.abs(line::pg_catalog.int8
      - base_line) < 1073741824 THEN line::pg_catalog.int8 * 4294967296 + 2147483648 + (line::pg_catalog.int8
      - base_line) END) OVER (PARTITION BY file, is_new ORDER BY line) & 4294967295) - 2147483648, 0) ELSE
      line END AS origin_line
  FROM exact_equal_count
  WHERE (file IN (
    SELECT file
    FROM ambiguous_file
  )) IS TRUE
  AND (is_new OR is_in_both AND NOT is_paired)
), ambiguous AS (
  SELECT *
  FROM line_shift
  WHERE is_in_both
  AND NOT is_paired
), exact_by_shift AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, row_index <= CASE WHEN is_new
      THEN 2 * in_base ELSE in_new END AS is_paired, in_new > 0
  AND in_base > 0 AS is_in_both, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path_hash, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line,
      in_base::pg_catalog.int4) OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4)
      OVER in_order AS base_status
  FROM (
    SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, key, pg_catalog.row_number()
        OVER all_of_key AS row_index, pg_catalog.count(*) FILTER (WHERE is_new) OVER all_of_key AS in_new,
        pg_catalog.count(*) FILTER (WHERE NOT is_new) OVER all_of_key AS in_base
    FROM (
      SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, pg_catalog.hashint8extended(pg_catalog.hashint8extended(exact_hash,
          file), COALESCE(origin_line, 0)) AS key
      FROM ambiguous
      WHERE NOT is_paired
    ) AS keyed
    WINDOW all_of_key AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), exact_in_order AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, row_index <= CASE WHEN is_new
      THEN 2 * in_base ELSE in_new END AS is_paired, in_new > 0
  AND in_base > 0 AS is_in_both, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path_hash, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line,
      in_base::pg_catalog.int4) OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4)
      OVER in_order AS base_status
  FROM (
    SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, key, pg_catalog.row_number()
        OVER all_of_key AS row_index, pg_catalog.count(*) FILTER (WHERE is_new) OVER all_of_key AS in_new,
        pg_catalog.count(*) FILTER (WHERE NOT is_new) OVER all_of_key AS in_base
    FROM (
      SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, pg_catalog.hashint8extended(exact_hash,
          file) AS key
      FROM exact_by_shift
      WHERE NOT is_paired
    ) AS keyed
    WINDOW all_of_key AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), unmatched AS MATERIALIZED (
  SELECT *, FALSE AS is_paired, path_hash IN (
    SELECT path_hash
    FROM unshared_path
  ) AS is_in_unshared_file
  FROM (
    SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash
    FROM exact_equal_count
    WHERE NOT (is_paired OR is_in_both)
    UNION ALL
    SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash
    FROM exact_in_order
    WHERE NOT is_paired
  ) AS without_equal
), unmatched_in_unshared_file AS (
  SELECT *
  FROM unmatched
  WHERE is_in_unshared_file
), exact_in_other_file AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, row_index <= CASE WHEN is_new
      THEN 2 * in_base ELSE in_new END AS is_paired, in_new > 0
  AND in_base > 0 AS is_in_both, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path_hash, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line,
      in_base::pg_catalog.int4) OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4)
      OVER in_order AS base_status
  FROM (
    SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, key, pg_catalog.row_number()
        OVER all_of_key AS row_index, pg_catalog.count(*) FILTER (WHERE is_new) OVER all_of_key AS in_new,
        pg_catalog.count(*) FILTER (WHERE NOT is_new) OVER all_of_key AS in_base
    FROM (
      SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, exact_hash AS key
      FROM unmatched_in_unshared_file
      WHERE NOT is_paired
    ) AS keyed
    WINDOW all_of_key AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), remaining AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, pg_catalog.hashint8extended(rule_hash,
      file) AS file_rule
  FROM unmatched
  WHERE NOT is_in_unshared_file
  UNION ALL
  SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, pg_catalog.hashint8extended(rule_hash,
      file)
  FROM exact_in_other_file
  WHERE NOT is_paired
), shared_file_rule AS MATERIALIZED (
  SELECT file_rule
  FROM remaining
  GROUP BY file_rule
  HAVING pg_catalog.bool_or(is_new)
  AND NOT pg_catalog.bool_and(is_new)
), with_parts AS (
  SELECT remaining.*, FALSE AS is_paired, code_hash, message_hash, wording_hash
  FROM remaining
  CROSS JOIN LATERAL (
    SELECT CASE WHEN code <> '' THEN pg_catalog.hashtextextended(code, file_rule) ELSE pg_catalog.uuid_hash_extended(remaining.id,
        file_rule) END AS code_hash, pg_catalog.hashtextextended(title, pg_catalog.hashtextextended(description,
        file_rule)) AS message_hash, pg_catalog.hashtextextended(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(title,
        E'0', ''), E'1', ''), E'2', ''), E'3', ''), E'4', ''), E'5', ''), E'6', ''), E'7', ''), E'8', ''),
        E'9', ''), pg_catalog.hashtextextended(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(description,
        E'0', ''), E'1', ''), E'2', ''), E'3', ''), E'4', ''), E'5', ''), E'6', ''), E'7', ''), E'8', ''),
        E'9', ''), file_rule)) AS wording_hash
    FROM (
      SELECT pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(code_snippet,
          ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', '') AS code, title, COALESCE(description, '') AS
          description
      FROM analysis.analysis_issues
      WHERE analysis_issues.id = remaining.id
      OFFSET 0
    ) AS texts
    OFFSET 0
  ) AS hashes
  WHERE (file_rule IN (
    SELECT file_rule
    FROM shared_file_rule
  )) IS TRUE
), same_code AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, code_hash, message_hash,
      wording_hash, row_index <= CASE WHEN is_new THEN 2 * in_base ELSE in_new END AS is_paired, in_new > 0
  AND in_base > 0 AS is_in_both, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path_hash, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line,
      in_base::pg_catalog.int4) OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4)
      OVER in_order AS base_status
  FROM (
    SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, code_hash, message_hash,
        wording_hash, key, pg_catalog.row_number() OVER all_of_key AS row_index, pg_catalog.count(*) FILTER (WHERE
        is_new) OVER all_of_key AS in_new, pg_catalog.count(*) FILTER (WHERE NOT is_new) OVER all_of_key AS
        in_base
    FROM (
      SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, code_hash, message_hash,
          wording_hash, code_hash AS key
      FROM with_parts
      WHERE NOT is_paired
    ) AS keyed
    WINDOW all_of_key AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), same_message AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, code_hash, message_hash,
      wording_hash, row_index <= CASE WHEN is_new THEN 2 * in_base ELSE in_new END AS is_paired, in_new > 0
  AND in_base > 0 AS is_in_both, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path_hash, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line,
      in_base::pg_catalog.int4) OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4)
      OVER in_order AS base_status
  FROM (
    SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, code_hash, message_hash,
        wording_hash, key, pg_catalog.row_number() OVER all_of_key AS row_index, pg_catalog.count(*) FILTER (WHERE
        is_new) OVER all_of_key AS in_new, pg_catalog.count(*) FILTER (WHERE NOT is_new) OVER all_of_key AS
        in_base
    FROM (
      SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, code_hash, message_hash,
          wording_hash, message_hash AS key
      FROM same_code
      WHERE NOT is_paired
    ) AS keyed
    WINDOW all_of_key AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), same_wording AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, code_hash, message_hash,
      wording_hash, row_index <= CASE WHEN is_new THEN 2 * in_base ELSE in_new END AS is_paired, in_new > 0
  AND in_base > 0 AS is_in_both, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path_hash, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line,
      in_base::pg_catalog.int4) OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4)
      OVER in_order AS base_status
  FROM (
    SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, code_hash, message_hash,
        wording_hash, key, pg_catalog.row_number() OVER all_of_key AS row_index, pg_catalog.count(*) FILTER (WHERE
        is_new) OVER all_of_key AS in_new, pg_catalog.count(*) FILTER (WHERE NOT is_new) OVER all_of_key AS
        in_base
    FROM (
      SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, code_hash, message_hash,
          wording_hash, wording_hash AS key
      FROM same_message
      WHERE NOT is_paired
    ) AS keyed
    WINDOW all_of_key AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), unpaired AS (
  SELECT id, is_new, status
  FROM same_wording
  WHERE NOT is_paired
  UNION ALL
  SELECT id, is_new, status
  FROM remaining
  WHERE (file_rule IN (
    SELECT file_rule
    FROM shared_file_rule
  )) IS NOT TRUE
), pair AS MATERIALIZED (
  SELECT id, base_id, status, base_status, path_hash IS DISTINCT FROM base_path OR line IS DISTINCT FROM
      base_line AS has_moved
  FROM exact_equal_count
  WHERE is_paired
  AND is_new
  UNION ALL
  SELECT id, base_id, status, base_status, path_hash IS DISTINCT FROM base_path OR line IS DISTINCT FROM
      base_line AS has_moved
  FROM exact_by_shift
  WHERE is_paired
  AND is_new
  UNION ALL
  SELECT id, base_id, status, base_status, path_hash IS DISTINCT FROM base_path OR line IS DISTINCT FROM
      base_line AS has_moved
  FROM exact_in_order
  WHERE is_paired
  AND is_new
  UNION ALL
  SELECT id, base_id, status, base_status, path_hash IS DISTINCT FROM base_path OR line IS DISTINCT FROM
      base_line AS has_moved
  FROM exact_in_other_file
  WHERE is_paired
  AND is_new
  UNION ALL
  SELECT id, base_id, status, base_status, path_hash IS DISTINCT FROM base_path OR line IS DISTINCT FROM
      base_line AS has_moved
  FROM same_code
  WHERE is_paired
  AND is_new
  UNION ALL
  SELECT id, base_id, status, base_status, path_hash IS DISTINCT FROM base_path OR line IS DISTINCT FROM
      base_line AS has_moved
  FROM same_message
  WHERE is_paired
  AND is_new
  UNION ALL
  SELECT id, base_id, status, base_status, path_hash IS DISTINCT FROM base_path OR line IS DISTINCT FROM
      base_line AS has_moved
  FROM same_wording
  WHERE is_paired
  AND is_new
), paired_issue AS MATERIALIZED (
  SELECT now.severity, now.severity < base.severity AS is_worse, base_status IN ('ignored', 'false_positive')
      AS is_judged, CASE WHEN base_status IN ('ignored', 'false_positive') THEN (now.severity >= base.severity
      AND (pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(now.code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', '') <> '' AND pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(now.code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', '') = pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(base.code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', '') OR now.file_path = base.file_path AND (now.line_number
      = base.line_number OR now.line_number IS NULL AND base.line_number IS NULL AND pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(now.code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', '') = '' AND pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(base.code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', '') = '' AND now.title = base.title AND now.description
      IS NOT DISTINCT FROM base.description))) IS TRUE END AS is_excused
  FROM pair
  CROSS JOIN LATERAL (
    SELECT *
    FROM analysis.analysis_issues
    WHERE id = pair.id
    OFFSET 0
  ) AS now
  CROSS JOIN LATERAL (
    SELECT *
    FROM analysis.analysis_issues
    WHERE id = pair.base_id
    OFFSET 0
  ) AS base
  WHERE pair.status = 'open'
), new_issue AS (
  SELECT 1 AS number, (
    SELECT severity
    FROM analysis.analysis_issues
    WHERE id = unpaired.id
  ) AS severity
  FROM unpaired
  WHERE is_new
  AND status = 'open'
  UNION ALL
  SELECT 1, severity
  FROM paired_issue
  WHERE is_worse OR is_judged
  AND NOT is_excused
), open_issue AS (
  SELECT pg_catalog.count(*) AS number, severity
  FROM analysis.analysis_issues
  WHERE analysis_id = (
    SELECT new
    FROM comparison
    WHERE findings
  )
  AND status = 'open'
  GROUP BY severity
  UNION ALL
  SELECT -1, severity
  FROM paired_issue
  WHERE is_judged
  AND is_excused
), measure AS (
  SELECT metric.place, (
    SELECT pg_catalog.avg(metric_value)
    FROM analysis.analysis_metrics
    WHERE metric_name = metric.name
    AND metric_value <> 'NaN'
    AND analysis_id = comparison.new
  ) AS value, CASE WHEN metric.days IS NULL THEN (
    SELECT pg_catalog.avg(metric_value)
    FROM analysis.analysis_metrics
    WHERE metric_name = metric.name
    AND metric_value <> 'NaN'
    AND analysis_id = comparison.base
  ) ELSE (
    SELECT pg_catalog.avg(metric_value)
    FROM analysis.analyses
    JOIN analysis.analysis_metrics ON analysis_id = analyses.id
    WHERE project_id = comparison.new_project
    AND analyses.id <> comparison.new
    AND status = 'completed'
    AND analyses.completed_at <= ended
    AND analyses.completed_at >= (ended AT TIME ZONE 'UTC' - pg_catalog.make_interval(days => LEAST(metric.days,
        700000))) AT TIME ZONE 'UTC'
    AND metric_name = metric.name
    AND metric_value <> 'NaN'
  ) END AS reference
  FROM (
    SELECT *, COALESCE(completed_at, pg_catalog.now()) AS ended
    FROM comparison
  ) AS comparison
  CROSS JOIN ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6)) WITH ORDINALITY AS metric (name, days,
      place)
)
SELECT base_project, new_project, summary ->> 'overallScore', (
  SELECT ARRAY[COALESCE(pg_catalog.sum(number) FILTER (WHERE severity = 'critical'), 0)::pg_catalog.int8,
      COALESCE(pg_catalog.sum(number) FILTER (WHERE severity = 'high'), 0)::pg_catalog.int8, COALESCE(pg_catalog.sum(number)
      FILTER (WHERE severity = 'medium'), 0)::pg_catalog.int8, COALESCE(pg_catalog.sum(number) FILTER (WHERE
      severity = 'low'), 0)::pg_catalog.int8, COALESCE(pg_catalog.sum(number) FILTER (WHERE severity = 'info'),
      0)::pg_catalog.int8]
  FROM new_issue
), (
  SELECT ARRAY[COALESCE(pg_catalog.sum(number) FILTER (WHERE severity = 'critical'), 0)::pg_catalog.int8,
      COALESCE(pg_catalog.sum(number) FILTER (WHERE severity = 'high'), 0)::pg_catalog.int8, COALESCE(pg_catalog.sum(number)
      FILTER (WHERE severity = 'medium'), 0)::pg_catalog.int8, COALESCE(pg_catalog.sum(number) FILTER (WHERE
      severity = 'low'), 0)::pg_catalog.int8, COALESCE(pg_catalog.sum(number) FILTER (WHERE severity = 'info'),
      0)::pg_catalog.int8]
  FROM open_issue
), (
  SELECT pg_catalog.array_agg(value ORDER BY place)
  FROM measure
), (
  SELECT pg_catalog.array_agg(reference ORDER BY place)
  FROM measure
)
FROM comparison
