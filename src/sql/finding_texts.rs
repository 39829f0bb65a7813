//! The SQL of a finding's texts and hashes, and of the condition that a verdict holds for another
//! finding.

/// The hash of a finding's rule, or of its type if it names no rule.
pub(super) const RULE_HASH: &str = "CASE WHEN rule_id IS NULL THEN pg_catalog.hashtextextended(type::pg_catalog.text, 1) \
                    ELSE pg_catalog.hashtextextended(rule_id, 0) END";

/// Returns the SQL of a text without these characters.
///
/// One `replace` for each takes a sixth of the time of one `translate`, which compares each
/// character of the text with all of them.
fn without<'a>(characters: impl IntoIterator<Item = &'a str>, text: &str) -> String {
    characters
        .into_iter()
        .fold(text.to_owned(), |text, character| {
            format!("pg_catalog.replace({text}, E'{character}', '')")
        })
}

/// Returns the SQL of a finding's code without white space; the empty text without code.
pub(super) fn code_of(column: &str) -> String {
    without(
        [" ", r"\t", r"\r", r"\n"],
        &format!("COALESCE({column}, '')"),
    )
}

/// The statuses that count as verdicts and are carried over to a later analysis.
pub(super) const VERDICTS: &str = "('ignored', 'false_positive')";

/// Returns the SQL of the condition that a verdict on `base` holds for `new` too, two rows of
/// `analysis_issues` that are a pair.
///
/// A pair means that the findings may be the same. A verdict needs more. The severity must not be
/// worse than that of the judged finding. And one of these must hold: both have the same code; both
/// are in the same line of the same file; both are about the same file as a whole, with the same
/// message.
pub(super) fn holds_for(new: &str, base: &str) -> String {
    let (code, base_code) = (
        code_of(&format!("{new}.code_snippet")),
        code_of(&format!("{base}.code_snippet")),
    );
    // The enum in the database lists the worst severity first.
    format!(
        "({new}.severity >= {base}.severity AND ({code} <> '' AND {code} = {base_code} \
         OR {new}.file_path = {base}.file_path AND ({new}.line_number = {base}.line_number \
         OR {new}.line_number IS NULL AND {base}.line_number IS NULL AND {code} = '' AND {base_code} = '' \
         AND {new}.title = {base}.title AND {new}.description IS NOT DISTINCT FROM {base}.description))) IS TRUE"
    )
}

/// Returns the SQL of a text without digits.
pub(super) fn without_digits(text: &str) -> String {
    without(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], text)
}
