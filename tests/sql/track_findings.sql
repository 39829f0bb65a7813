-- (uuid, bool, uuid, uuid)
WITH asked AS MATERIALIZED (
  SELECT base_project, new_project, completed_at, summary, CASE WHEN base_project = new_project THEN base_id
      END AS base, CASE WHEN base_project = new_project OR is_alone THEN new_id END AS new, findings
  FROM (
    SELECT $1::pg_catalog.uuid IS NULL AS is_alone, $2::pg_catalog.bool AS findings
  ) AS asking
  LEFT JOIN (
    SELECT id AS base_id, project_id AS base_project
    FROM analysis.analyses
    WHERE id = $3
  ) AS base ON TRUE
  LEFT JOIN (
    SELECT id AS new_id, project_id AS new_project, completed_at, summary
    FROM analysis.analyses
    WHERE id = $4
    FOR NO KEY UPDATE
  ) AS new ON TRUE
), finding AS MATERIALIZED ((
  SELECT id, FALSE AS is_new, status, line_number AS line, column_number AS col, pg_catalog.hashtextextended(file_path,
      0) AS path, CASE WHEN rule_id IS NULL THEN pg_catalog.hashtextextended(type::pg_catalog.text, 1) ELSE
      pg_catalog.hashtextextended(rule_id, 0) END AS rule, pg_catalog.hashtextextended(title, pg_catalog.hashtextextended(COALESCE(description,
      ''), pg_catalog.hashtextextended(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', ''), CASE WHEN rule_id IS NULL THEN pg_catalog.hashtextextended(type::pg_catalog.text,
      1) ELSE pg_catalog.hashtextextended(rule_id, 0) END))) AS exact
  FROM analysis.analysis_issues
  WHERE analysis_id = (
    SELECT base
    FROM asked
    WHERE findings
  )
  LIMIT (
    SELECT 9223372036854775807
  )
) UNION ALL (
  SELECT id, TRUE AS is_new, status, line_number AS line, column_number AS col, pg_catalog.hashtextextended(file_path,
      0) AS path, CASE WHEN rule_id IS NULL THEN pg_catalog.hashtextextended(type::pg_catalog.text, 1) ELSE
      pg_catalog.hashtextextended(rule_id, 0) END AS rule, pg_catalog.hashtextextended(title, pg_catalog.hashtextextended(COALESCE(description,
      ''), pg_catalog.hashtextextended(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', ''), CASE WHEN rule_id IS NULL THEN pg_catalog.hashtextextended(type::pg_catalog.text,
      1) ELSE pg_catalog.hashtextextended(rule_id, 0) END))) AS exact
  FROM analysis.analysis_issues
  WHERE analysis_id = (
    SELECT new
    FROM asked
    WHERE findings
  )
  LIMIT (
    SELECT 9223372036854775807
  )
)), lone_path AS MATERIALIZED (
  SELECT path
  FROM (
    SELECT path, is_new
    FROM finding
    UNION ALL
    SELECT pg_catalog.hashtextextended(file_path, 0), FALSE
    FROM analysis.analysis_results
    WHERE analysis_id = (
      SELECT base
      FROM asked
      WHERE findings
    )
    UNION ALL
    SELECT pg_catalog.hashtextextended(file_path, 0), TRUE
    FROM analysis.analysis_results
    WHERE analysis_id = (
      SELECT new
      FROM asked
      WHERE findings
    )
  ) AS named
  GROUP BY path
  HAVING pg_catalog.bool_and(is_new) OR NOT pg_catalog.bool_or(is_new)
), lone AS MATERIALIZED (
  SELECT id, is_new, path, exact
  FROM finding
  WHERE (path IN (
    SELECT path
    FROM lone_path
  )) IS TRUE
), portrait AS (
  SELECT path, is_new, face, findings, (
    SELECT file_path
    FROM analysis.analysis_issues
    WHERE id = any_id
  ) AS file_path
  FROM (
    SELECT path, is_new, pg_catalog.bit_xor(exact) AS face, pg_catalog.count(*) AS findings, (pg_catalog.array_agg(id))[1]
        AS any_id
    FROM lone
    GROUP BY path, is_new
  ) AS drawn
  OFFSET 0
), twin AS (
  SELECT path, is_new, name, face, findings, pg_catalog.row_number() OVER (PARTITION BY name, face, findings,
      is_new ORDER BY file_path COLLATE pg_catalog."C") AS place
  FROM (
    SELECT *, pg_catalog.substring(file_path, '[^/]*$') AS name
    FROM portrait
  ) AS named
), likeness AS (
  SELECT pg_catalog.min(path) FILTER (WHERE NOT is_new) AS old, pg_catalog.min(path) FILTER (WHERE is_new) AS
      new, 2 AS weight
  FROM lone
  GROUP BY exact
  HAVING pg_catalog.min(path) FILTER (WHERE NOT is_new) = pg_catalog.max(path) FILTER (WHERE NOT is_new)
  AND pg_catalog.min(path) FILTER (WHERE is_new) = pg_catalog.max(path) FILTER (WHERE is_new)
  UNION ALL
  SELECT pg_catalog.max(path) FILTER (WHERE NOT is_new), pg_catalog.max(path) FILTER (WHERE is_new), 1
  FROM twin
  GROUP BY name, face, findings, place
  HAVING pg_catalog.count(*) = 2
), renamed AS MATERIALIZED (
  SELECT COALESCE(pg_catalog.jsonb_object_agg(old, new), '{}') AS paths
  FROM (
    SELECT old, new, pg_catalog.row_number() OVER (PARTITION BY old ORDER BY pg_catalog.sum(weight) DESC, new)
        AS of_old, pg_catalog.row_number() OVER (PARTITION BY new ORDER BY pg_catalog.sum(weight) DESC, old)
        AS of_new
    FROM likeness
    GROUP BY old, new
  ) AS ranked
  WHERE of_old = 1
  AND of_new = 1
), placed AS (
  SELECT *, CASE WHEN is_new THEN path ELSE COALESCE(((
    SELECT paths
    FROM renamed
  ) ->> path::pg_catalog.text)::pg_catalog.int8, path) END AS file, FALSE AS is_paired
  FROM finding
), even AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path, file, rule, exact, in_new = in_base AS is_paired, in_new > 0
  AND in_base > 0 AS has_rivals, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line, in_base::pg_catalog.int4)
      OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4) OVER in_order AS
      base_status
  FROM (
    SELECT id, is_new, status, line, col, path, file, rule, exact, key, pg_catalog.row_number() OVER whole AS
        place, pg_catalog.count(*) FILTER (WHERE is_new) OVER whole AS in_new, pg_catalog.count(*) FILTER (WHERE
        NOT is_new) OVER whole AS in_base
    FROM (
      SELECT id, is_new, status, line, col, path, file, rule, exact, pg_catalog.hashint8extended(exact, file)
          AS key
      FROM placed
      WHERE NOT is_paired
    ) AS keyed
    WINDOW whole AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), crowd AS MATERIALIZED (
  SELECT DISTINCT file
  FROM even
  WHERE has_rivals
  AND NOT is_paired
), drift AS (
  SELECT id, is_new, status, line, col, path, file, rule, exact, has_rivals, is_paired, CASE WHEN is_new THEN
      line - COALESCE((pg_catalog.max(CASE WHEN is_paired AND pg_catalog.abs(line::pg_catalog.int8 - base_line)
      < 1073741824 THEN line::pg_catalog.int8 * 4294967296 + 2147483648 + (line::pg_catalog.int8 - base_line)
      END) OVER (PARTITION BY file, is_new ORDER BY line) & 4294967295) - 2147483648, 0) ELSE line END AS
      origin
  FROM even
  WHERE (file IN (
    SELECT file
    FROM crowd
  )) IS TRUE
  AND (is_new OR has_rivals AND NOT is_paired)
), rival AS (
  SELECT *
  FROM drift
  WHERE has_rivals
  AND NOT is_paired
), near AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path, file, rule, exact, place <= CASE WHEN is_new THEN 2 * in_base
      ELSE in_new END AS is_paired, in_new > 0
  AND in_base > 0 AS has_rivals, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line, in_base::pg_catalog.int4)
      OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4) OVER in_order AS
      base_status
  FROM (
    SELECT id, is_new, status, line, col, path, file, rule, exact, key, pg_catalog.row_number() OVER whole AS
        place, pg_catalog.count(*) FILTER (WHERE is_new) OVER whole AS in_new, pg_catalog.count(*) FILTER (WHERE
        NOT is_new) OVER whole AS in_base
    FROM (
      SELECT id, is_new, status, line, col, path, file, rule, exact, pg_catalog.hashint8extended(pg_catalog.hashint8extended(exact,
          file), COALESCE(origin, 0)) AS key
      FROM rival
      WHERE NOT is_paired
    ) AS keyed
    WINDOW whole AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), level AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path, file, rule, exact, place <= CASE WHEN is_new THEN 2 * in_base
      ELSE in_new END AS is_paired, in_new > 0
  AND in_base > 0 AS has_rivals, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line, in_base::pg_catalog.int4)
      OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4) OVER in_order AS
      base_status
  FROM (
    SELECT id, is_new, status, line, col, path, file, rule, exact, key, pg_catalog.row_number() OVER whole AS
        place, pg_catalog.count(*) FILTER (WHERE is_new) OVER whole AS in_new, pg_catalog.count(*) FILTER (WHERE
        NOT is_new) OVER whole AS in_base
    FROM (
      SELECT id, is_new, status, line, col, path, file, rule, exact, pg_catalog.hashint8extended(exact, file)
          AS key
      FROM near
      WHERE NOT is_paired
    ) AS keyed
    WINDOW whole AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), odd AS MATERIALIZED (
  SELECT *, FALSE AS is_paired, path IN (
    SELECT path
    FROM lone_path
  ) AS is_stray
  FROM (
    SELECT id, is_new, status, line, col, path, file, rule, exact
    FROM even
    WHERE NOT (is_paired OR has_rivals)
    UNION ALL
    SELECT id, is_new, status, line, col, path, file, rule, exact
    FROM level
    WHERE NOT is_paired
  ) AS unequal
), stray AS (
  SELECT *
  FROM odd
  WHERE is_stray
), far AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path, file, rule, exact, place <= CASE WHEN is_new THEN 2 * in_base
      ELSE in_new END AS is_paired, in_new > 0
  AND in_base > 0 AS has_rivals, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line, in_base::pg_catalog.int4)
      OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4) OVER in_order AS
      base_status
  FROM (
    SELECT id, is_new, status, line, col, path, file, rule, exact, key, pg_catalog.row_number() OVER whole AS
        place, pg_catalog.count(*) FILTER (WHERE is_new) OVER whole AS in_new, pg_catalog.count(*) FILTER (WHERE
        NOT is_new) OVER whole AS in_base
    FROM (
      SELECT id, is_new, status, line, col, path, file, rule, exact, exact AS key
      FROM stray
      WHERE NOT is_paired
    ) AS keyed
    WINDOW whole AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), spare AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path, file, rule, exact, pg_catalog.hashint8extended(rule, file) AS
      topic
  FROM odd
  WHERE NOT is_stray
  UNION ALL
  SELECT id, is_new, status, line, col, path, file, rule, exact, pg_catalog.hashint8extended(rule, file)
  FROM far
  WHERE NOT is_paired
), topic AS MATERIALIZED (
  SELECT topic
  FROM spare
  GROUP BY topic
  HAVING pg_catalog.bool_or(is_new)
  AND NOT pg_catalog.bool_and(is_new)
), loose AS (
  SELECT spare.*, FALSE AS is_paired, code, message, wording
  FROM spare
  CROSS JOIN LATERAL (
    SELECT CASE WHEN code <> '' THEN pg_catalog.hashtextextended(code, topic) ELSE pg_catalog.uuid_hash_extended(spare.id,
        topic) END AS code, pg_catalog.hashtextextended(title, pg_catalog.hashtextextended(description, topic))
        AS message, pg_catalog.hashtextextended(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(title,
        E'0', ''), E'1', ''), E'2', ''), E'3', ''), E'4', ''), E'5', ''), E'6', ''), E'7', ''), E'8', ''),
        E'9', ''), pg_catalog.hashtextextended(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(description,
        E'0', ''), E'1', ''), E'2', ''), E'3', ''), E'4', ''), E'5', ''), E'6', ''), E'7', ''), E'8', ''),
        E'9', ''), topic)) AS wording
    FROM (
      SELECT pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(code_snippet,
          ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', '') AS code, title, COALESCE(description, '') AS
          description
      FROM analysis.analysis_issues
      WHERE analysis_issues.id = spare.id
      OFFSET 0
    ) AS text
    OFFSET 0
  ) AS digest
  WHERE (topic IN (
    SELECT topic
    FROM topic
  )) IS TRUE
), by_code AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path, file, rule, exact, code, message, wording, place <= CASE WHEN
      is_new THEN 2 * in_base ELSE in_new END AS is_paired, in_new > 0
  AND in_base > 0 AS has_rivals, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line, in_base::pg_catalog.int4)
      OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4) OVER in_order AS
      base_status
  FROM (
    SELECT id, is_new, status, line, col, path, file, rule, exact, code, message, wording, key, pg_catalog.row_number()
        OVER whole AS place, pg_catalog.count(*) FILTER (WHERE is_new) OVER whole AS in_new, pg_catalog.count(*)
        FILTER (WHERE NOT is_new) OVER whole AS in_base
    FROM (
      SELECT id, is_new, status, line, col, path, file, rule, exact, code, message, wording, code AS key
      FROM loose
      WHERE NOT is_paired
    ) AS keyed
    WINDOW whole AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), by_message AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path, file, rule, exact, code, message, wording, place <= CASE WHEN
      is_new THEN 2 * in_base ELSE in_new END AS is_paired, in_new > 0
  AND in_base > 0 AS has_rivals, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line, in_base::pg_catalog.int4)
      OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4) OVER in_order AS
      base_status
  FROM (
    SELECT id, is_new, status, line, col, path, file, rule, exact, code, message, wording, key, pg_catalog.row_number()
        OVER whole AS place, pg_catalog.count(*) FILTER (WHERE is_new) OVER whole AS in_new, pg_catalog.count(*)
        FILTER (WHERE NOT is_new) OVER whole AS in_base
    FROM (
      SELECT id, is_new, status, line, col, path, file, rule, exact, code, message, wording, message AS key
      FROM by_code
      WHERE NOT is_paired
    ) AS keyed
    WINDOW whole AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), by_wording AS MATERIALIZED (
  SELECT id, is_new, status, line, col, path, file, rule, exact, code, message, wording, place <= CASE WHEN
      is_new THEN 2 * in_base ELSE in_new END AS is_paired, in_new > 0
  AND in_base > 0 AS has_rivals, pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id,
      pg_catalog.lag(path, in_base::pg_catalog.int4) OVER in_order AS base_path, pg_catalog.lag(line, in_base::pg_catalog.int4)
      OVER in_order AS base_line, pg_catalog.lag(status, in_base::pg_catalog.int4) OVER in_order AS
      base_status
  FROM (
    SELECT id, is_new, status, line, col, path, file, rule, exact, code, message, wording, key, pg_catalog.row_number()
        OVER whole AS place, pg_catalog.count(*) FILTER (WHERE is_new) OVER whole AS in_new, pg_catalog.count(*)
        FILTER (WHERE NOT is_new) OVER whole AS in_base
    FROM (
      SELECT id, is_new, status, line, col, path, file, rule, exact, code, message, wording, wording AS key
      FROM by_message
      WHERE NOT is_paired
    ) AS keyed
    WINDOW whole AS (PARTITION BY key ORDER BY is_new, line, col, id ROWS BETWEEN UNBOUNDED PRECEDING AND
        UNBOUNDED FOLLOWING)
  ) AS counted
  WINDOW in_order AS (PARTITION BY key ORDER BY is_new, line, col, id)
), rest AS (
  SELECT id, is_new, status
  FROM by_wording
  WHERE NOT is_paired
  UNION ALL
  SELECT id, is_new, status
  FROM spare
  WHERE (topic IN (
    SELECT topic
    FROM topic
  )) IS NOT TRUE
), pair AS MATERIALIZED (
  SELECT id, base_id, status, base_status, path IS DISTINCT FROM base_path OR line IS DISTINCT FROM base_line
      AS has_moved
  FROM even
  WHERE is_paired
  AND is_new
  UNION ALL
  SELECT id, base_id, status, base_status, path IS DISTINCT FROM base_path OR line IS DISTINCT FROM base_line
      AS has_moved
  FROM near
  WHERE is_paired
  AND is_new
  UNION ALL
  SELECT id, base_id, status, base_status, path IS DISTINCT FROM base_path OR line IS DISTINCT FROM base_line
      AS has_moved
  FROM level
  WHERE is_paired
  AND is_new
  UNION ALL
  SELECT id, base_id, status, base_status, path IS DISTINCT FROM base_path OR line IS DISTINCT FROM base_line
      AS has_moved
  FROM far
  WHERE is_paired
  AND is_new
  UNION ALL
  SELECT id, base_id, status, base_status, path IS DISTINCT FROM base_path OR line IS DISTINCT FROM base_line
      AS has_moved
  FROM by_code
  WHERE is_paired
  AND is_new
  UNION ALL
  SELECT id, base_id, status, base_status, path IS DISTINCT FROM base_path OR line IS DISTINCT FROM base_line
      AS has_moved
  FROM by_message
  WHERE is_paired
  AND is_new
  UNION ALL
  SELECT id, base_id, status, base_status, path IS DISTINCT FROM base_path OR line IS DISTINCT FROM base_line
      AS has_moved
  FROM by_wording
  WHERE is_paired
  AND is_new
), heir AS (
  UPDATE analysis.analysis_issues AS heir
  SET status = base.status, resolved_at = base.resolved_at, resolved_by = base.resolved_by
  FROM pair
  JOIN analysis.analysis_issues AS base ON base.id = pair.base_id
  WHERE heir.id = pair.id
  AND heir.status = 'open'
  AND pair.status = 'open'
  AND pair.base_status IN ('ignored', 'false_positive')
  AND (heir.severity >= base.severity AND (pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(heir.code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', '') <> '' AND pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(heir.code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', '') = pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(base.code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', '') OR heir.file_path = base.file_path AND (heir.line_number
      = base.line_number OR heir.line_number IS NULL AND base.line_number IS NULL AND pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(heir.code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', '') = '' AND pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(COALESCE(base.code_snippet,
      ''), E' ', ''), E'\t', ''), E'\r', ''), E'\n', '') = '' AND heir.title = base.title AND heir.description
      IS NOT DISTINCT FROM base.description))) IS TRUE
  RETURNING 1
)
SELECT base_project, new_project, unchanged, moved, new_ids, fixed, reopened, (
  SELECT pg_catalog.count(*)
  FROM heir
)
FROM asked
CROSS JOIN (
  SELECT pg_catalog.string_agg(pg_catalog.uuid_send(base_id) || pg_catalog.uuid_send(id), '') FILTER (WHERE
      NOT has_moved) AS unchanged, pg_catalog.string_agg(pg_catalog.uuid_send(base_id) || pg_catalog.uuid_send(id),
      '') FILTER (WHERE has_moved) AS moved, pg_catalog.string_agg(pg_catalog.uuid_send(id), '') FILTER (WHERE
      status = 'open' AND base_status = 'resolved') AS reopened
  FROM pair
) AS paired
CROSS JOIN (
  SELECT pg_catalog.string_agg(pg_catalog.uuid_send(id), '') FILTER (WHERE is_new) AS new_ids, pg_catalog.string_agg(pg_catalog.uuid_send(id),
      '') FILTER (WHERE NOT is_new) AS fixed
  FROM rest
) AS left_over
