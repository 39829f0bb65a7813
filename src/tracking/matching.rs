//! The matching of two analyses' findings, as a part of a statement.
//!
//! It goes by what SonarQube's tracker does, from strict to loose: each pass pairs what the passes before it have left
//! and says by a key what is the same. A line is in no finding's identity; it only says which of several equal ones
//! belong together. White space in code does not count.
//!
//! A pass needs no join: the findings of both analyses that share a key are sorted, those of the base first, so that
//! the nth of the base stands as many rows before the nth of the later analysis as the base has. So there is no plan
//! to be had that takes the product of both, whatever the planner knows of the tables. For the same reason sets are
//! tested as `(x IN (...)) IS TRUE`, which is a hash that is looked into and never a join, and rows are looked up by
//! key one by one. Texts are compared by 64 bits of their digest.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Bool, Nullable, Uuid};

use crate::AnalysisId;

/// Two analyses that are compared.
pub(crate) struct Compared {
    /// The one that the other is compared with. Without it everything in the other is new.
    pub(crate) base: Option<AnalysisId>,
    /// The other.
    pub(crate) new: AnalysisId,
    /// Whether the findings matter: if not, there are none.
    pub(crate) findings: bool,
    /// Whether the later analysis's row is locked, so that of two who carry verdicts over one waits for the other.
    pub(crate) locked: bool,
}

/// `asked`: the two analyses, if both are there and of the same project.
fn push_asked<'b>(compared: &'b Compared, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    out.push_sql(
        "asked AS MATERIALIZED (SELECT base_project, new_project, completed_at, summary, \
         CASE WHEN base_project = new_project THEN base_id END AS base, \
         CASE WHEN base_project = new_project OR is_alone THEN new_id END AS new, findings \
         FROM (SELECT ",
    );
    out.push_bind_param::<Nullable<Uuid>, _>(&compared.base)?;
    out.push_sql("::pg_catalog.uuid IS NULL AS is_alone, ");
    out.push_bind_param::<Bool, _>(&compared.findings)?;
    out.push_sql(
        "::pg_catalog.bool AS findings) AS asking LEFT JOIN (SELECT id AS base_id, project_id AS base_project \
         FROM analysis.analyses WHERE id = ",
    );
    out.push_bind_param::<Nullable<Uuid>, _>(&compared.base)?;
    out.push_sql(
        ") AS base ON TRUE LEFT JOIN (SELECT id AS new_id, project_id AS new_project, completed_at, summary \
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

/// What a finding is about: its rule, or its type where it names none.
const RULE: &str = "CASE WHEN rule_id IS NULL THEN pg_catalog.hashtextextended(type::pg_catalog.text, 1) \
                    ELSE pg_catalog.hashtextextended(rule_id, 0) END";
/// A text without these. One `replace` for each takes a sixth of the time of a `translate`, which compares each letter
/// with all of them.
fn without<'a>(characters: impl IntoIterator<Item = &'a str>, text: &str) -> String {
    characters
        .into_iter()
        .fold(text.to_owned(), |text, character| {
            format!("pg_catalog.replace({text}, E'{character}', '')")
        })
}

/// The code in question without white space.
fn code() -> String {
    code_of("code_snippet")
}

fn code_of(column: &str) -> String {
    without(
        [" ", r"\t", r"\r", r"\n"],
        &format!("COALESCE({column}, '')"),
    )
}

/// The verdicts that a later analysis takes from an earlier one.
pub(crate) const VERDICTS: &str = "('ignored', 'false_positive')";

/// Whether a verdict on `base` holds for `new` too, two rows of `analysis_issues` that are a pair.
///
/// A pair says that the findings may be one. A verdict needs more: the same code, or the same line of the same file, or
/// that both are about the file as a whole; and the later finding is no worse than the one that was judged.
pub(crate) fn holds_for(new: &str, base: &str) -> String {
    let (code, base_code) = (
        code_of(&format!("{new}.code_snippet")),
        code_of(&format!("{base}.code_snippet")),
    );
    // The database sorts the worst first.
    format!(
        "({new}.severity >= {base}.severity AND ({code} <> '' AND {code} = {base_code} \
         OR {new}.file_path = {base}.file_path AND ({new}.line_number = {base}.line_number \
         OR {new}.line_number IS NULL AND {base}.line_number IS NULL AND {code} = '' AND {base_code} = '' \
         AND {new}.title = {base}.title AND {new}.description IS NOT DISTINCT FROM {base}.description))) IS TRUE"
    )
}

fn without_digits(text: &str) -> String {
    without(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], text)
}

/// `finding`: what is compared of both analyses.
///
/// A limit that is not known when the statement is planned makes the planner count on a tenth of the rows: with all of
/// them it would compile the statement to machine code, which takes longer than to run it.
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
             pg_catalog.hashtextextended(file_path, 0) AS path, ",
        );
        out.push_sql(RULE);
        out.push_sql(
            " AS rule, pg_catalog.hashtextextended(title, pg_catalog.hashtextextended(COALESCE(description, ''), \
             pg_catalog.hashtextextended(",
        );
        out.push_sql(&code());
        out.push_sql(", ");
        out.push_sql(RULE);
        out.push_sql("))) AS exact FROM analysis.analysis_issues WHERE analysis_id = (SELECT ");
        out.push_sql(analysis);
        out.push_sql(" FROM asked WHERE findings) LIMIT (SELECT 9223372036854775807))");
    }
    out.push_sql(")");
}

/// `lone_path`: files that only one of the analyses names, in a finding or a result. `renamed`: which of the base's
/// are which of the later one's, by the findings that only these two files have, or else by having all the same ones
/// and the same name in another folder. `placed`: the findings, with those of a renamed file in their new place.
const FILES: &str = "\
, lone_path AS MATERIALIZED (\
SELECT path FROM (\
SELECT path, is_new FROM finding \
UNION ALL SELECT pg_catalog.hashtextextended(file_path, 0), FALSE FROM analysis.analysis_results \
WHERE analysis_id = (SELECT base FROM asked WHERE findings) \
UNION ALL SELECT pg_catalog.hashtextextended(file_path, 0), TRUE FROM analysis.analysis_results \
WHERE analysis_id = (SELECT new FROM asked WHERE findings)) AS named \
GROUP BY path HAVING pg_catalog.bool_and(is_new) OR NOT pg_catalog.bool_or(is_new))\
, lone AS MATERIALIZED (\
SELECT id, is_new, path, exact FROM finding WHERE (path IN (SELECT path FROM lone_path)) IS TRUE)\
, portrait AS (\
SELECT path, is_new, face, findings, \
(SELECT file_path FROM analysis.analysis_issues WHERE id = any_id) AS file_path \
FROM (SELECT path, is_new, pg_catalog.bit_xor(exact) AS face, pg_catalog.count(*) AS findings, \
(pg_catalog.array_agg(id))[1] AS any_id FROM lone GROUP BY path, is_new) AS drawn OFFSET 0)\
, twin AS (\
SELECT path, is_new, name, face, findings, pg_catalog.row_number() OVER (\
PARTITION BY name, face, findings, is_new ORDER BY file_path COLLATE pg_catalog.\"C\") AS place \
FROM (SELECT *, pg_catalog.substring(file_path, '[^/]*$') AS name FROM portrait) AS named)\
, likeness AS (\
SELECT pg_catalog.min(path) FILTER (WHERE NOT is_new) AS old, \
pg_catalog.min(path) FILTER (WHERE is_new) AS new, 2 AS weight \
FROM lone GROUP BY exact \
HAVING pg_catalog.min(path) FILTER (WHERE NOT is_new) = pg_catalog.max(path) FILTER (WHERE NOT is_new) \
AND pg_catalog.min(path) FILTER (WHERE is_new) = pg_catalog.max(path) FILTER (WHERE is_new) \
UNION ALL SELECT pg_catalog.max(path) FILTER (WHERE NOT is_new), pg_catalog.max(path) FILTER (WHERE is_new), 1 \
FROM twin GROUP BY name, face, findings, place HAVING pg_catalog.count(*) = 2)\
, renamed AS MATERIALIZED (\
SELECT COALESCE(pg_catalog.jsonb_object_agg(old, new), '{}') AS paths FROM (\
SELECT old, new, \
pg_catalog.row_number() OVER (PARTITION BY old ORDER BY pg_catalog.sum(weight) DESC, new) AS of_old, \
pg_catalog.row_number() OVER (PARTITION BY new ORDER BY pg_catalog.sum(weight) DESC, old) AS of_new \
FROM likeness GROUP BY old, new) AS ranked WHERE of_old = 1 AND of_new = 1)\
, placed AS (\
SELECT *, CASE WHEN is_new THEN path \
ELSE COALESCE(((SELECT paths FROM renamed) ->> path::pg_catalog.text)::pg_catalog.int8, path) END AS file, \
FALSE AS is_paired FROM finding)";

const COLUMNS: &str = "id, is_new, status, line, col, path, file, rule, exact";
const LOOSE_COLUMNS: &str =
    "id, is_new, status, line, col, path, file, rule, exact, code, message, wording";

/// `drift`: the findings of files in which some could be paired in more than one way, each with the line that it came
/// from if it moved as far as the nearest one above it that is paired. `rival`: those that are to be paired.
const DRIFT: &str = "\
, crowd AS MATERIALIZED (SELECT DISTINCT file FROM even WHERE has_rivals AND NOT is_paired)\
, drift AS (\
SELECT id, is_new, status, line, col, path, file, rule, exact, has_rivals, is_paired, \
CASE WHEN is_new THEN line - COALESCE((pg_catalog.max(\
CASE WHEN is_paired AND pg_catalog.abs(line::pg_catalog.int8 - base_line) < 1073741824 \
THEN line::pg_catalog.int8 * 4294967296 + 2147483648 + (line::pg_catalog.int8 - base_line) END\
) OVER (PARTITION BY file, is_new ORDER BY line) & 4294967295) - 2147483648, 0) ELSE line END AS origin \
FROM even WHERE (file IN (SELECT file FROM crowd)) IS TRUE AND (is_new OR has_rivals AND NOT is_paired))\
, rival AS (SELECT * FROM drift WHERE has_rivals AND NOT is_paired)";

/// `odd`: what has no equal in its file. `stray`: what of it is in a file that only one analysis names.
const STRAYS: &str = "\
, odd AS MATERIALIZED (\
SELECT *, FALSE AS is_paired, path IN (SELECT path FROM lone_path) AS is_stray FROM (\
SELECT id, is_new, status, line, col, path, file, rule, exact FROM even WHERE NOT (is_paired OR has_rivals) \
UNION ALL \
SELECT id, is_new, status, line, col, path, file, rule, exact FROM level WHERE NOT is_paired) AS unequal)\
, stray AS (SELECT * FROM odd WHERE is_stray)";

/// `loose`: what is left of a rule that both analyses have objected by in the file, with the digests of its parts. One
/// without code has a digest that no other has.
fn push_loose(out: &mut AstPass<'_, '_, Pg>) {
    out.push_sql(
        ", spare AS MATERIALIZED (\
         SELECT id, is_new, status, line, col, path, file, rule, exact, \
         pg_catalog.hashint8extended(rule, file) AS topic FROM odd WHERE NOT is_stray \
         UNION ALL \
         SELECT id, is_new, status, line, col, path, file, rule, exact, \
         pg_catalog.hashint8extended(rule, file) FROM far WHERE NOT is_paired)\
         , topic AS MATERIALIZED (\
         SELECT topic FROM spare GROUP BY topic HAVING pg_catalog.bool_or(is_new) AND NOT pg_catalog.bool_and(is_new))\
         , loose AS (\
         SELECT spare.*, FALSE AS is_paired, code, message, wording \
         FROM spare CROSS JOIN LATERAL (\
         SELECT CASE WHEN code <> '' THEN pg_catalog.hashtextextended(code, topic) \
         ELSE pg_catalog.uuid_hash_extended(spare.id, topic) END AS code, \
         pg_catalog.hashtextextended(title, pg_catalog.hashtextextended(description, topic)) AS message, \
         pg_catalog.hashtextextended(",
    );
    out.push_sql(&without_digits("title"));
    out.push_sql(", pg_catalog.hashtextextended(");
    out.push_sql(&without_digits("description"));
    out.push_sql(", topic)) AS wording FROM (SELECT ");
    out.push_sql(&code());
    out.push_sql(
        " AS code, title, COALESCE(description, '') AS description FROM analysis.analysis_issues \
         WHERE analysis_issues.id = spare.id OFFSET 0) AS text OFFSET 0) AS digest \
         WHERE (topic IN (SELECT topic FROM topic)) IS TRUE)",
    );
}

/// A pass: pairs of what `from` has left those that share a key.
struct Pass {
    name: &'static str,
    from: &'static str,
    columns: &'static str,
    key: &'static str,
    /// Which of those with the key are paired.
    paired: &'static str,
}

/// As many as both analyses have.
const AS_MANY: &str = "place <= CASE WHEN is_new THEN 2 * in_base ELSE in_new END";

/// In the order in which they are made.
const PASSES: [Pass; 7] = [
    // Rule, code and message in the same file, as many in the one as in the other.
    Pass {
        name: "even",
        from: "placed",
        columns: COLUMNS,
        key: "pg_catalog.hashint8extended(exact, file)",
        paired: "in_new = in_base",
    },
    // The same, where one analysis has more of them: those that moved as far as what is above them.
    Pass {
        name: "near",
        from: "rival",
        columns: COLUMNS,
        key: "pg_catalog.hashint8extended(pg_catalog.hashint8extended(exact, file), COALESCE(origin, 0))",
        paired: AS_MANY,
    },
    // The same, in their order.
    Pass {
        name: "level",
        from: "near",
        columns: COLUMNS,
        key: "pg_catalog.hashint8extended(exact, file)",
        paired: AS_MANY,
    },
    // The same in another file, which only the other analysis names.
    Pass {
        name: "far",
        from: "stray",
        columns: COLUMNS,
        key: "exact",
        paired: AS_MANY,
    },
    // Rule and code in the same file: another message.
    Pass {
        name: "by_code",
        from: "loose",
        columns: LOOSE_COLUMNS,
        key: "code",
        paired: AS_MANY,
    },
    // Rule and message in the same file: other code.
    Pass {
        name: "by_message",
        from: "by_code",
        columns: LOOSE_COLUMNS,
        key: "message",
        paired: AS_MANY,
    },
    // Rule and message in the same file, but for the numbers in it.
    Pass {
        name: "by_wording",
        from: "by_message",
        columns: LOOSE_COLUMNS,
        key: "wording",
        paired: AS_MANY,
    },
];

impl Pass {
    fn push(&self, out: &mut AstPass<'_, '_, Pg>) {
        const ORDER: &str = "PARTITION BY key ORDER BY is_new, line, col, id";
        for part in [
            ", ",
            self.name,
            " AS MATERIALIZED (SELECT ",
            self.columns,
            ", ",
            self.paired,
            " AS is_paired, in_new > 0 AND in_base > 0 AS has_rivals, \
             pg_catalog.lag(id, in_base::pg_catalog.int4) OVER in_order AS base_id, \
             pg_catalog.lag(path, in_base::pg_catalog.int4) OVER in_order AS base_path, \
             pg_catalog.lag(line, in_base::pg_catalog.int4) OVER in_order AS base_line, \
             pg_catalog.lag(status, in_base::pg_catalog.int4) OVER in_order AS base_status \
             FROM (SELECT ",
            self.columns,
            ", key, pg_catalog.row_number() OVER whole AS place, \
             pg_catalog.count(*) FILTER (WHERE is_new) OVER whole AS in_new, \
             pg_catalog.count(*) FILTER (WHERE NOT is_new) OVER whole AS in_base FROM (SELECT ",
            self.columns,
            ", ",
            self.key,
            " AS key FROM ",
            self.from,
            " WHERE NOT is_paired) AS keyed WINDOW whole AS (",
            ORDER,
            " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) AS counted WINDOW in_order AS (",
            ORDER,
            "))",
        ] {
            out.push_sql(part);
        }
    }
}

/// Opens a `WITH` and defines, besides `asked`, `pair` (id, base_id, status, base_status, has_moved) and `rest` (id,
/// is_new, status).
pub(crate) fn push_matching<'b>(
    compared: &'b Compared,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    out.push_sql("WITH ");
    push_asked(compared, out)?;
    push_findings(out);
    out.push_sql(FILES);
    for pass in &PASSES {
        match pass.name {
            "near" => out.push_sql(DRIFT),
            "far" => out.push_sql(STRAYS),
            "by_code" => push_loose(out),
            _ => {}
        }
        pass.push(out);
    }
    out.push_sql(
        ", rest AS (SELECT id, is_new, status FROM by_wording WHERE NOT is_paired UNION ALL \
         SELECT id, is_new, status FROM spare WHERE (topic IN (SELECT topic FROM topic)) IS NOT TRUE)\
         , pair AS MATERIALIZED (",
    );
    for (index, pass) in PASSES.iter().enumerate() {
        if index > 0 {
            out.push_sql(" UNION ALL ");
        }
        out.push_sql(
            "SELECT id, base_id, status, base_status, \
             path IS DISTINCT FROM base_path OR line IS DISTINCT FROM base_line AS has_moved FROM ",
        );
        out.push_sql(pass.name);
        out.push_sql(" WHERE is_paired AND is_new");
    }
    out.push_sql(")");
    Ok(())
}
