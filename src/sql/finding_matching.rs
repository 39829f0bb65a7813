//! Matches the findings of two analyses, as a part of a statement.
//!
//! # Idea
//!
//! The matching runs in passes, from strict to loose. A pass has a key, for example the hash of
//! rule, code, message and file. It pairs a finding of the base with one of the later analysis if
//! both have the same key. The next pass gets what this one has left over. Lines do not identify a
//! finding, since code moves. They only decide which of several equal findings are paired. White
//! space in code does not count.
//!
//! # Invariants
//!
//! - A finding is in at most one pair: a pass reads only what the passes before it have not paired.
//! - Both findings of a pair have the same rule. A type stands for the rule of a finding that names
//!   none. The rule is a part of each key.
//! - If one analysis has b findings of a key and the other n, a pass makes min(b, n) pairs of them.
//!   The first pass is the exception: it makes none unless b equals n.
//! - The same rows give the same pairs. Equal findings are ordered by line, column and id.
//!
//! # Passes
//!
//! | pass | the pair has the same | candidates |
//! |---|---|---|
//! | `exact_equal_count` | rule, code, message, file | all findings |
//! | `exact_by_shift` | rule, code, message, file, and shift as the pair above | keys that one analysis has more of |
//! | `exact_in_order` | rule, code, message, file | what is left of these keys |
//! | `exact_in_other_file` | rule, code, message | findings in files that only one analysis names |
//! | `same_code` | rule, code, file | rules that are left in both analyses of a file |
//! | `same_message` | rule, message, file | what is left of these |
//! | `same_wording` | rule, message without digits, file | what is left of these |
//!
//! "File" is the file's name in the later analysis: before the first pass, renamed files are found
//! and the base's findings get the new name. Between the passes three sections prepare their input;
//! see [`Section`].
//!
//! # Why a pass is right
//!
//! A pass needs no join. The findings of both analyses that share a key are sorted, those of the
//! base first. Let the base have b of them and the later analysis n. Then the i-th of the base is
//! row i, and the i-th of the later analysis is row b + i. So `lag(…, b)` at the latter returns the
//! former.
//!
//! The pair exists if i is at most both b and n; [`EQUAL_RANK`] is this condition. A row of the
//! base has i at most b, so `row_index <= n` remains. A row of the later analysis has i at most n,
//! so `row_index <= 2 * b` remains. A row of the base has no row that far before it, and its
//! `base_id` is not read.
//!
//! Without a join no plan can multiply both analyses, whatever the planner believes of the tables.
//! For the same reason sets are tested as `(x IN (…)) IS TRUE`, which is a hashed subplan and never
//! a join. Rows are looked up by primary key one by one.
//!
//! Texts are compared by 64 bits of their hash. Two different texts among a million have the same
//! hash with a probability of about 1 in 37 million.
//!
//! # Sources
//!
//! The order of the passes follows SonarQube's tracker (`org.sonar.core.issue.tracking.Tracker`),
//! which goes from "rule, line, code and message" to "rule and code". SonarQube hashes the line of
//! source code; here it is `code_snippet`. It finds moved blocks by comparing source code, which
//! the database does not have; `exact_by_shift` takes its place.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Bool, Nullable, Uuid};

use super::finding_texts::{RULE_HASH, code_of, without_digits};
use crate::AnalysisId;

/// Two analyses that are compared.
#[derive(Clone)]
pub(crate) struct Compared {
    /// The analysis that the later one is compared with. Without it all findings of the later one
    /// are new.
    pub(crate) base: Option<AnalysisId>,
    /// The later analysis.
    pub(crate) new: AnalysisId,
    /// If false, no findings are read and there are no pairs.
    pub(crate) findings: bool,
    /// If true, the later analysis's row is locked. Of two statements that carry verdicts over to
    /// it, the second waits for the first.
    pub(crate) locked: bool,
}

/// Writes `comparison`: one row with the two analyses.
///
/// `base` and `new` are NULL unless both analyses exist in the same project. Without a base, `new`
/// suffices. A base whose removal has begun does not count as existing: some of its findings are
/// gone.
fn push_comparison<'b>(compared: &'b Compared, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    out.push_sql(
        "comparison AS MATERIALIZED (SELECT base_project, new_project, completed_at, summary, \
         CASE WHEN base_project = new_project THEN base_id END AS base, \
         CASE WHEN base_project = new_project OR is_alone THEN new_id END AS new, findings \
         FROM (SELECT ",
    );
    out.push_bind_param::<Nullable<Uuid>, _>(&compared.base)?;
    out.push_sql("::pg_catalog.uuid IS NULL AS is_alone, ");
    out.push_bind_param::<Bool, _>(&compared.findings)?;
    out.push_sql(
        "::pg_catalog.bool AS findings) AS parameters LEFT JOIN (SELECT id AS base_id, project_id AS base_project \
         FROM analysis.analyses WHERE id = ",
    );
    out.push_bind_param::<Nullable<Uuid>, _>(&compared.base)?;
    out.push_sql(
        " AND NOT EXISTS (SELECT FROM analysis.analysis_removals WHERE analysis_removals.analysis_id = analyses.id)\
         ) AS base ON TRUE LEFT JOIN (SELECT id AS new_id, project_id AS new_project, completed_at, summary \
         FROM analysis.analyses WHERE id = ",
    );
    out.push_bind_param::<Uuid, _>(&compared.new)?;
    out.push_sql(if compared.locked {
        " FOR NO KEY UPDATE) AS new ON TRUE)"
    } else {
        ") AS new ON TRUE)"
    });
    Ok(())
}

/// Writes `finding`: the findings of both analyses with the hashes that are compared.
///
/// The LIMIT keeps the planner from JIT compilation, which takes longer than the statement itself.
/// With a limit whose value it cannot compute, the planner expects a tenth of the rows.
fn push_findings(out: &mut AstPass<'_, '_, Pg>) {
    out.push_sql(", finding AS MATERIALIZED (");
    for (index, (analysis, is_new)) in [("base", "FALSE"), ("new", "TRUE")].into_iter().enumerate()
    {
        out.push_sql(if index == 0 {
            "(SELECT id, "
        } else {
            " UNION ALL (SELECT id, "
        });
        out.push_sql(is_new);
        out.push_sql(
            " AS is_new, status, line_number AS line, column_number AS col, \
             pg_catalog.hashtextextended(file_path, 0) AS path_hash, ",
        );
        out.push_sql(RULE_HASH);
        out.push_sql(
            " AS rule_hash, pg_catalog.hashtextextended(title, pg_catalog.hashtextextended(COALESCE(description, ''), \
             pg_catalog.hashtextextended(",
        );
        out.push_sql(&code_of("code_snippet"));
        out.push_sql(", ");
        out.push_sql(RULE_HASH);
        out.push_sql(
            "))) AS exact_hash FROM analysis.analysis_issues WHERE analysis_id = (SELECT ",
        );
        out.push_sql(analysis);
        out.push_sql(" FROM comparison WHERE findings) LIMIT (SELECT 9223372036854775807))");
    }
    out.push_sql(")");
}

/// Finds renamed files.
///
/// - `unshared_path`: the files that only one of the analyses names, in a finding or a result.
/// - `unshared_file_finding`: the findings in these files.
/// - `file_fingerprint`: for each of these files its name, how many findings it has and the XOR of
///   their hashes.
/// - `numbered_fingerprint`: the same, with files of the same last name and fingerprint numbered
///   within each analysis in the order of their paths.
/// - `rename_candidate`: pairs of an old and a new path with a score. A finding that is in exactly
///   one old and one new file scores 2. The same last name and fingerprint, hence a move to another
///   folder, scores 1.
/// - `renamed`: of the candidates those that score most for both their old and their new path, as
///   one JSON object from old to new.
/// - `located`: all findings. `file` is the path that the later analysis has for the finding's
///   file.
const RENAMED_FILES: &str = "\
, unshared_path AS MATERIALIZED (\
SELECT path_hash FROM (\
SELECT path_hash, is_new FROM finding \
UNION ALL SELECT pg_catalog.hashtextextended(file_path, 0), FALSE FROM analysis.analysis_results \
WHERE analysis_id = (SELECT base FROM comparison WHERE findings) \
UNION ALL SELECT pg_catalog.hashtextextended(file_path, 0), TRUE FROM analysis.analysis_results \
WHERE analysis_id = (SELECT new FROM comparison WHERE findings)) AS named \
GROUP BY path_hash HAVING pg_catalog.bool_and(is_new) OR NOT pg_catalog.bool_or(is_new))\
, unshared_file_finding AS MATERIALIZED (\
SELECT id, is_new, path_hash, exact_hash FROM finding \
WHERE (path_hash IN (SELECT path_hash FROM unshared_path)) IS TRUE)\
, file_fingerprint AS (\
SELECT path_hash, is_new, findings_hash, findings, \
(SELECT file_path FROM analysis.analysis_issues WHERE id = any_id) AS file_path \
FROM (SELECT path_hash, is_new, pg_catalog.bit_xor(exact_hash) AS findings_hash, pg_catalog.count(*) AS findings, \
(pg_catalog.array_agg(id))[1] AS any_id FROM unshared_file_finding GROUP BY path_hash, is_new) AS summed OFFSET 0)\
, numbered_fingerprint AS (\
SELECT path_hash, is_new, name, findings_hash, findings, pg_catalog.row_number() OVER (\
PARTITION BY name, findings_hash, findings, is_new ORDER BY file_path COLLATE pg_catalog.\"C\") AS row_index \
FROM (SELECT *, pg_catalog.substring(file_path, '[^/]*$') AS name FROM file_fingerprint) AS named)\
, rename_candidate AS (\
SELECT pg_catalog.min(path_hash) FILTER (WHERE NOT is_new) AS old_path, \
pg_catalog.min(path_hash) FILTER (WHERE is_new) AS new_path, 2 AS score \
FROM unshared_file_finding GROUP BY exact_hash \
HAVING pg_catalog.min(path_hash) FILTER (WHERE NOT is_new) = pg_catalog.max(path_hash) FILTER (WHERE NOT is_new) \
AND pg_catalog.min(path_hash) FILTER (WHERE is_new) = pg_catalog.max(path_hash) FILTER (WHERE is_new) \
UNION ALL SELECT pg_catalog.max(path_hash) FILTER (WHERE NOT is_new), \
pg_catalog.max(path_hash) FILTER (WHERE is_new), 1 \
FROM numbered_fingerprint GROUP BY name, findings_hash, findings, row_index HAVING pg_catalog.count(*) = 2)\
, renamed AS MATERIALIZED (\
SELECT COALESCE(pg_catalog.jsonb_object_agg(old_path, new_path), '{}') AS new_path_of FROM (\
SELECT old_path, new_path, \
pg_catalog.row_number() OVER (PARTITION BY old_path ORDER BY pg_catalog.sum(score) DESC, new_path) AS rank_for_old, \
pg_catalog.row_number() OVER (PARTITION BY new_path ORDER BY pg_catalog.sum(score) DESC, old_path) AS rank_for_new \
FROM rename_candidate GROUP BY old_path, new_path) AS ranked WHERE rank_for_old = 1 AND rank_for_new = 1)\
, located AS (\
SELECT *, CASE WHEN is_new THEN path_hash \
ELSE COALESCE(((SELECT new_path_of FROM renamed) ->> path_hash::pg_catalog.text)::pg_catalog.int8, path_hash) END \
AS file, FALSE AS is_paired FROM finding)";

/// The columns that the first four passes hand on.
const COLUMNS: &str = "id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash";

/// The columns that the last three passes hand on.
const PART_COLUMNS: &str = "id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, \
                            code_hash, message_hash, wording_hash";

/// [`Section::LineShift`].
///
/// - `ambiguous_file`: the files in which a key has findings in both analyses, but not equally
///   many.
/// - `line_shift`: the findings of these files, each with `origin_line`. It is the line that the
///   finding came from if it moved as far as the nearest pair at or above it. In the base it is the
///   finding's own line.
/// - `ambiguous`: of these the findings that are to be paired.
///
/// The window takes the pair with the greatest line. Line and shift are packed into one number. The
/// line is in the upper 32 bits. The shift is in the lower ones, plus 2^31 so that it is positive.
/// Pairs that moved 2^30 lines or more are left out, for the shift has to fit.
const LINE_SHIFT: &str = "\
, ambiguous_file AS MATERIALIZED (SELECT DISTINCT file FROM exact_equal_count WHERE is_in_both AND NOT is_paired)\
, line_shift AS (\
SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, is_in_both, is_paired, \
CASE WHEN is_new THEN line - COALESCE((pg_catalog.max(\
CASE WHEN is_paired AND pg_catalog.abs(line::pg_catalog.int8 - base_line) < 1073741824 \
THEN line::pg_catalog.int8 * 4294967296 + 2147483648 + (line::pg_catalog.int8 - base_line) END\
) OVER (PARTITION BY file, is_new ORDER BY line) & 4294967295) - 2147483648, 0) ELSE line END AS origin_line \
FROM exact_equal_count \
WHERE (file IN (SELECT file FROM ambiguous_file)) IS TRUE AND (is_new OR is_in_both AND NOT is_paired))\
, ambiguous AS (SELECT * FROM line_shift WHERE is_in_both AND NOT is_paired)";

/// [`Section::OtherFiles`].
///
/// - `unmatched`: the findings without an equal one in their file.
/// - `unmatched_in_unshared_file`: of these the findings in files that only one analysis names.
const OTHER_FILES: &str = "\
, unmatched AS MATERIALIZED (\
SELECT *, FALSE AS is_paired, path_hash IN (SELECT path_hash FROM unshared_path) AS is_in_unshared_file FROM (\
SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash FROM exact_equal_count \
WHERE NOT (is_paired OR is_in_both) \
UNION ALL \
SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash FROM exact_in_order \
WHERE NOT is_paired) AS without_equal)\
, unmatched_in_unshared_file AS (SELECT * FROM unmatched WHERE is_in_unshared_file)";

/// Writes [`Section::Parts`].
///
/// - `remaining`: the findings that no exact pass has paired. `file_rule` is the hash of file and
///   rule.
/// - `shared_file_rule`: the rules that are left in both analyses of a file.
/// - `with_parts`: the findings of these, with a hash of each of their parts. A finding without
///   code gets a hash that no other finding has.
fn push_parts(out: &mut AstPass<'_, '_, Pg>) {
    out.push_sql(
        ", remaining AS MATERIALIZED (\
         SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, \
         pg_catalog.hashint8extended(rule_hash, file) AS file_rule FROM unmatched WHERE NOT is_in_unshared_file \
         UNION ALL \
         SELECT id, is_new, status, line, col, path_hash, file, rule_hash, exact_hash, \
         pg_catalog.hashint8extended(rule_hash, file) FROM exact_in_other_file WHERE NOT is_paired)\
         , shared_file_rule AS MATERIALIZED (\
         SELECT file_rule FROM remaining \
         GROUP BY file_rule HAVING pg_catalog.bool_or(is_new) AND NOT pg_catalog.bool_and(is_new))\
         , with_parts AS (\
         SELECT remaining.*, FALSE AS is_paired, code_hash, message_hash, wording_hash \
         FROM remaining CROSS JOIN LATERAL (\
         SELECT CASE WHEN code <> '' THEN pg_catalog.hashtextextended(code, file_rule) \
         ELSE pg_catalog.uuid_hash_extended(remaining.id, file_rule) END AS code_hash, \
         pg_catalog.hashtextextended(title, pg_catalog.hashtextextended(description, file_rule)) AS message_hash, \
         pg_catalog.hashtextextended(",
    );
    out.push_sql(&without_digits("title"));
    out.push_sql(", pg_catalog.hashtextextended(");
    out.push_sql(&without_digits("description"));
    out.push_sql(", file_rule)) AS wording_hash FROM (SELECT ");
    out.push_sql(&code_of("code_snippet"));
    out.push_sql(
        " AS code, title, COALESCE(description, '') AS description FROM analysis.analysis_issues \
         WHERE analysis_issues.id = remaining.id OFFSET 0) AS texts OFFSET 0) AS hashes \
         WHERE (file_rule IN (SELECT file_rule FROM shared_file_rule)) IS TRUE)",
    );
}

/// The common table expressions that come before a pass and prepare its input.
enum Section {
    /// Nothing: the pass reads what the one before it has left.
    None,
    /// Computes how far the pairs of a file have moved: [`LINE_SHIFT`].
    LineShift,
    /// Selects the findings that can only have an equal in another file: [`OTHER_FILES`].
    OtherFiles,
    /// Computes the hashes of code, message and wording: [`push_parts`].
    Parts,
}

impl Section {
    fn push(&self, out: &mut AstPass<'_, '_, Pg>) {
        match self {
            Self::None => {}
            Self::LineShift => out.push_sql(LINE_SHIFT),
            Self::OtherFiles => out.push_sql(OTHER_FILES),
            Self::Parts => push_parts(out),
        }
    }
}

/// A pass, which pairs findings that share a key.
struct Pass {
    /// The name of the pass's common table expression.
    name: &'static str,
    /// The section that is written before the pass.
    before: Section,
    /// The common table expression with the candidates: its rows that are not paired.
    from: &'static str,
    /// The columns that are handed on to the next pass.
    columns: &'static str,
    /// The SQL of the key.
    key: &'static str,
    /// The SQL of the condition that a row is paired.
    paired: &'static str,
}

/// The condition that both analyses have a finding of the row's rank: see the primer above.
const EQUAL_RANK: &str = "row_index <= CASE WHEN is_new THEN 2 * in_base ELSE in_new END";

/// The passes in the order in which they run.
const PASSES: [Pass; 7] = [
    // Rule, code and message in the same file, as many in the one as in the other.
    Pass {
        name: "exact_equal_count",
        before: Section::None,
        from: "located",
        columns: COLUMNS,
        key: "pg_catalog.hashint8extended(exact_hash, file)",
        paired: "in_new = in_base",
    },
    // The same, where one analysis has more of them: those that moved as far as the pair above
    // them.
    Pass {
        name: "exact_by_shift",
        before: Section::LineShift,
        from: "ambiguous",
        columns: COLUMNS,
        key: "pg_catalog.hashint8extended(\
              pg_catalog.hashint8extended(exact_hash, file), COALESCE(origin_line, 0))",
        paired: EQUAL_RANK,
    },
    // The same, in their order.
    Pass {
        name: "exact_in_order",
        before: Section::None,
        from: "exact_by_shift",
        columns: COLUMNS,
        key: "pg_catalog.hashint8extended(exact_hash, file)",
        paired: EQUAL_RANK,
    },
    // The same in another file, which only the other analysis names.
    Pass {
        name: "exact_in_other_file",
        before: Section::OtherFiles,
        from: "unmatched_in_unshared_file",
        columns: COLUMNS,
        key: "exact_hash",
        paired: EQUAL_RANK,
    },
    // Rule and code in the same file: another message.
    Pass {
        name: "same_code",
        before: Section::Parts,
        from: "with_parts",
        columns: PART_COLUMNS,
        key: "code_hash",
        paired: EQUAL_RANK,
    },
    // Rule and message in the same file: other code.
    Pass {
        name: "same_message",
        before: Section::None,
        from: "same_code",
        columns: PART_COLUMNS,
        key: "message_hash",
        paired: EQUAL_RANK,
    },
    // Rule and message without digits in the same file.
    Pass {
        name: "same_wording",
        before: Section::None,
        from: "same_message",
        columns: PART_COLUMNS,
        key: "wording_hash",
        paired: EQUAL_RANK,
    },
];

impl Pass {
    /// Writes the section before the pass and its common table expression.
    ///
    /// It has the pass's columns, `is_paired` and `is_in_both` (both analyses have the key). If the
    /// row is of the later analysis and paired, `base_id`, `base_path`, `base_line` and
    /// `base_status` are those of the base's finding.
    fn push(&self, out: &mut AstPass<'_, '_, Pg>) {
        const ORDER: &str = "PARTITION BY key ORDER BY is_new, line, col, id";
        self.before.push(out);
        for part in [
            ", ",
            self.name,
            " AS MATERIALIZED (SELECT ",
            self.columns,
            ", ",
            self.paired,
            " AS is_paired, in_new > 0 AND in_base > 0 AS is_in_both, \
             pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id, \
             pg_catalog.lag(path_hash, in_base::pg_catalog.int4) OVER in_order AS base_path, \
             pg_catalog.lag(line, in_base::pg_catalog.int4) OVER in_order AS base_line, \
             pg_catalog.lag(status, in_base::pg_catalog.int4) OVER in_order AS base_status \
             FROM (SELECT ",
            self.columns,
            ", key, pg_catalog.row_number() OVER all_of_key AS row_index, \
             pg_catalog.count(*) FILTER (WHERE is_new) OVER all_of_key AS in_new, \
             pg_catalog.count(*) FILTER (WHERE NOT is_new) OVER all_of_key AS in_base FROM (SELECT ",
            self.columns,
            ", ",
            self.key,
            " AS key FROM ",
            self.from,
            " WHERE NOT is_paired) AS keyed WINDOW all_of_key AS (",
            ORDER,
            " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) AS counted WINDOW in_order AS (",
            ORDER,
            "))",
        ] {
            out.push_sql(part);
        }
    }
}

/// Writes a `WITH` clause that matches the findings.
///
/// It defines, for the caller to use:
///
/// - `comparison` (base_project, new_project, completed_at, summary, base, new, findings): one row;
///   see [`push_comparison`];
/// - `pair` (id, base_id, status, base_status, has_moved): one row for each pair;
/// - `unpaired` (id, is_new, status): one row for each finding without a pair.
pub(crate) fn push_matching<'b>(
    compared: &'b Compared,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    out.push_sql("WITH ");
    push_comparison(compared, out)?;
    push_findings(out);
    out.push_sql(RENAMED_FILES);
    for pass in &PASSES {
        pass.push(out);
    }
    out.push_sql(
        ", unpaired AS (SELECT id, is_new, status FROM same_wording WHERE NOT is_paired UNION ALL \
         SELECT id, is_new, status FROM remaining \
         WHERE (file_rule IN (SELECT file_rule FROM shared_file_rule)) IS NOT TRUE)\
         , pair AS MATERIALIZED (",
    );
    for (index, pass) in PASSES.iter().enumerate() {
        if index > 0 {
            out.push_sql(" UNION ALL ");
        }
        out.push_sql(
            "SELECT id, base_id, status, base_status, \
             path_hash IS DISTINCT FROM base_path OR line IS DISTINCT FROM base_line AS has_moved FROM ",
        );
        out.push_sql(pass.name);
        out.push_sql(" WHERE is_paired AND is_new");
    }
    out.push_sql(")");
    Ok(())
}
