//! The names of this crate's statements.
//!
//! A statement has no name on the server: a comment in the text would make as many prepared
//! statements as there are names for it, and an application name would take a round trip. The
//! names are therefore found by the text, after the fact.
//!
//! # The table
//!
//! `statement_names.txt` has a line for each text that the tests of the round trips execute: the
//! name, and a hash of the text's canonical form. `cargo xtask bless names` writes it. A name is
//! the repository and the method. If several methods send the same text, the name is that of the
//! method that sends the fewest statements. A text that no method of these tests sends has the name
//! of its file in `tests/sql`. A `COPY` is no prepared statement, which these tests would see: its
//! name follows from its table.
//!
//! # The canonical form
//!
//! `pg_stat_statements` replaces constants by parameters, numbers the parameters anew, and from
//! PostgreSQL 18 on shortens lists. The canonical form has one sign for constants, parameters and
//! lists of them, and neither comments, whitespace, nor casts of constants. It is the same for the
//! text that is sent and for the text of each version.
//!
//! # Texts that are not in the table
//!
//! A list has a text for each set of conditions, an update one for each set of columns. Only some
//! of them are in the table. The outline of such a text lacks conditions, assignments and orders.
//! The table has the outlines of the methods whose text varies, each with a tilde.

use std::collections::HashMap;
use std::sync::OnceLock;

/// The names by the hash of the canonical form and by the hash of the outline.
#[derive(Default)]
struct Table {
    exact: HashMap<u64, &'static str>,
    outlines: HashMap<u64, &'static str>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Table::default();
        for line in include_str!("statement_names.txt").lines() {
            let Some((name, hash)) = line.split_once(' ') else {
                continue;
            };
            let (names, hash) = match hash.strip_prefix('~') {
                Some(hash) => (&mut table.outlines, hash),
                None => (&mut table.exact, hash),
            };
            if let Ok(hash) = u64::from_str_radix(hash, 16) {
                names.insert(hash, name);
            }
        }
        table
    })
}

/// Returns the name of a statement of this crate, such as `users.find_by_email`. `None` for any
/// other text.
///
/// `text` is the statement as it was sent, as the server's log has it, or as `pg_stat_statements`
/// of PostgreSQL 15 to 18 has it. Both engines send the same texts. The beginning, the end and the
/// savepoints of a transaction have names such as `transaction.begin`.
///
/// ```
/// use wundr_db::admin::statement_name;
///
/// assert_eq!(statement_name("COMMIT"), Some("transaction.commit"));
/// assert_eq!(statement_name("SELECT 1"), None);
/// ```
#[must_use]
pub fn statement_name(text: &str) -> Option<&'static str> {
    let tokens = canonical(text);
    let first = tokens.first()?;
    let fixed = match first.as_str() {
        "begin" | "start" => Some("transaction.begin"),
        "commit" | "end" => Some("transaction.commit"),
        "rollback" if tokens.iter().any(|token| token == "to") => Some("transaction.rollback_to"),
        "rollback" => Some("transaction.rollback"),
        "savepoint" => Some("transaction.savepoint"),
        "release" => Some("transaction.release"),
        _ => None,
    };
    fixed
        .or_else(|| table().exact.get(&hash(&tokens)).copied())
        .or_else(|| table().outlines.get(&hash(&outline(&tokens))).copied())
        .or_else(|| copied(&tokens))
}

/// Returns the name of a `COPY` into a table of this crate.
fn copied(tokens: &[String]) -> Option<&'static str> {
    macro_rules! names {
        ($($schema:ident.$table:ident: $name:ident, $row:ident, $new:ident, $id:ident, $secret:tt;)*) => {
            [$((
                stringify!($schema),
                stringify!($table),
                concat!(stringify!($table), ".create_many"),
            )),*]
        };
    }
    let [copy, schema, dot, table, rest @ ..] = tokens else {
        return None;
    };
    let is_copy =
        copy == "copy" && dot == "." && rest.windows(2).any(|two| two == ["from", "stdin"]);
    let bare = |name: &str| name.trim_matches('"').to_owned();
    let (schema, table) = (bare(schema), bare(table));
    let names = crate::__for_each_table!(names);
    let of_table = |name: &&(&str, &str, &str)| name.0 == schema && name.1 == table;
    names
        .iter()
        .filter(|_| is_copy)
        .find(of_table)
        .map(|name| name.2)
}

/// Returns the hash of a text's canonical form, and that of its outline.
#[cfg(feature = "admin")]
pub fn hashes(text: &str) -> (u64, u64) {
    let tokens = canonical(text);
    (hash(&tokens), hash(&outline(&tokens)))
}

/// The 64-bit FNV-1a hash, which is the same on every machine.
fn hash(tokens: &[String]) -> u64 {
    let bytes = tokens.iter().flat_map(|token| token.bytes().chain([b' ']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The sign of a constant, a parameter, or a list of them.
const VALUE: &str = "?";

/// Splits a text into the tokens of its canonical form.
fn canonical(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = text.trim_end_matches(|last: char| last == ';' || last.is_whitespace());
    // True if what follows the last token could subtract from it.
    let mut is_operand = false;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = rest.trim_start();
            continue;
        }
        if let Some(length) = comment(rest) {
            rest = rest.get(length..).unwrap_or_default();
            continue;
        }
        let (length, is_value) = match value(rest, is_operand) {
            Some(length) => (length, true),
            None => (other(rest, first), false),
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        rest = after;
        let token = match is_value {
            true => VALUE.to_owned(),
            false if first == '"' => token.to_owned(),
            false => token.to_lowercase(),
        };
        let before = tokens.last().map(String::as_str);
        let is_test = matches!(before, Some("is" | "not"));
        let is_word_value = matches!(token.as_str(), "null" | "true" | "false") && !is_test;
        is_operand = is_value
            || is_word_value
            || matches!(token.as_str(), ")" | "]")
            || first == '"'
            || (first.is_alphanumeric() && !after.starts_with(char::is_whitespace));
        if !is_value && !is_word_value {
            tokens.push(token);
            continue;
        }
        // A list of values is one value.
        if tokens.ends_with(&[VALUE.to_owned(), ",".to_owned()]) {
            tokens.pop();
        } else {
            tokens.push(VALUE.to_owned());
        }
        rest = without_casts(rest);
    }
    tokens
}

/// Returns the length of the comment with which a text begins.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("--") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0_usize);
    while let Some(rest) = text.get(at..) {
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            if rest.is_empty() {
                break;
            }
        }
    }
    Some(text.len())
}

/// Returns the length of the constant or parameter with which a text begins.
fn value(text: &str, is_operand: bool) -> Option<usize> {
    let digits = |text: &str| {
        text.find(|next: char| !next.is_ascii_alphanumeric() && next != '.' && next != '_')
            .unwrap_or(text.len())
    };
    let first = text.chars().next()?;
    let second = text.chars().nth(1);
    if first.is_ascii_digit() {
        return Some(digits(text));
    }
    if first == '-' && !is_operand && second.is_some_and(|next| next.is_ascii_digit()) {
        return Some(1 + digits(text.get(1..)?));
    }
    if first == '$' {
        if second.is_some_and(|next| next.is_ascii_digit()) {
            return Some(1 + digits(text.get(1..)?));
        }
        // $tag$ … $tag$
        let end = text.get(1..)?.find('$')? + 2;
        let tag = text.get(..end)?;
        let length = text.get(end..)?.find(tag)?;
        return Some(end + length + end);
    }
    let (start, has_escapes) = match (first, second) {
        ('\'', _) => (1, false),
        ('E' | 'e', Some('\'')) => (2, true),
        ('B' | 'b' | 'X' | 'x' | 'N' | 'n', Some('\'')) => (2, false),
        _ if text.starts_with("U&'") => (3, false),
        _ => return None,
    };
    let mut characters = text.get(start..)?.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if has_escapes => {
                characters.next();
            }
            '\'' if characters.peek().is_some_and(|&(_, next)| next == '\'') => {
                characters.next();
            }
            '\'' => return Some(start + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// Returns the length of the name or sign with which a text begins.
fn other(text: &str, first: char) -> usize {
    if first == '"' {
        let mut characters = text.char_indices().skip(1).peekable();
        while let Some((at, character)) = characters.next() {
            if character == '"' {
                if characters.peek().is_some_and(|&(_, next)| next == '"') {
                    characters.next();
                } else {
                    return at + 1;
                }
            }
        }
        return text.len();
    }
    let is_part = |next: char| next.is_alphanumeric() || next == '_' || next == '$';
    if is_part(first) {
        return text.find(|next| !is_part(next)).unwrap_or(text.len());
    }
    match text.starts_with("::") {
        true => 2,
        false => first.len_utf8(),
    }
}

/// Removes the casts with which a text begins: `::pg_catalog.text[]`.
fn without_casts(text: &str) -> &str {
    let mut rest = text;
    while let Some(mut name) = rest.trim_start().strip_prefix("::") {
        loop {
            name = name.trim_start();
            let first = name.chars().next().unwrap_or(' ');
            let length = other(name, first);
            name = name.get(length..).unwrap_or_default();
            match name.strip_prefix('.') {
                Some(next) => name = next,
                None => break,
            }
        }
        rest = name.strip_prefix("[]").unwrap_or(name);
    }
    rest
}

/// Returns the tokens without conditions, assignments, orders and the columns of an insert.
fn outline(tokens: &[String]) -> Vec<String> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut depth = 0_i32;
    // True behind INTO, up to the columns.
    let mut is_target = false;
    // The depth of the clause that is being left out.
    let mut skipped: Option<i32> = None;
    let mut tokens = tokens.iter().map(String::as_str).peekable();
    while let Some(token) = tokens.next() {
        if is_target && token == "(" {
            // The columns of INSERT INTO.
            tokens.by_ref().find(|next| *next == ")");
            is_target = false;
            continue;
        }
        is_target |= token == "into";
        match token {
            "(" => depth += 1,
            ")" => {
                depth -= 1;
                skipped = skipped.filter(|clause| *clause <= depth);
            }
            _ => {}
        }
        let is_clause = match token {
            "where" | "set" | "values" => true,
            "order" | "group" => tokens.peek() == Some(&"by"),
            _ => false,
        };
        is_target &= !matches!(token, "values" | "select");
        let ends = matches!(
            token,
            "limit" | "offset" | "returning" | "for" | "union" | "fetch" | "on" | "select"
        );
        if skipped.is_none() && is_clause {
            skipped = Some(depth);
        } else if skipped == Some(depth) && is_clause {
            // Another clause is left out from here.
        } else if skipped == Some(depth) && ends {
            skipped = None;
        }
        if skipped.is_none() {
            kept.push(token.to_owned());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> String {
        canonical(text).join(" ")
    }

    #[test]
    fn the_text_that_is_sent_and_that_of_each_version_have_one_form() {
        let sent = "SELECT a, -1 FROM t WHERE b = $1 AND c IN ($2, $3, 'x''y') AND d IS NOT NULL \
                    AND e = ANY($4::pg_catalog.text[]) AND f = E'\\'' LIMIT 10";
        let before_18 = "SELECT a, $5 FROM t WHERE b = $1 AND c IN ($2, $3, $6) AND d IS NOT NULL \
                         AND e = ANY($4::pg_catalog.text[]) AND f = $7 LIMIT $8";
        let since_18 = "SELECT a, $2 FROM t WHERE b = $1 AND c IN ($3 /*, ... */) AND d IS NOT NULL \
                        AND e = ANY($4::pg_catalog.text[]) AND f = $5 LIMIT $6";
        assert_eq!(form(sent), form(before_18));
        assert_eq!(form(sent), form(since_18));
        assert_eq!(
            form(sent),
            "select a , ? from t where b = ? and c in ( ? ) and d is not null and e = any ( ? ) and f = ? limit ?"
        );
    }

    #[test]
    fn a_minus_between_operands_is_kept() {
        assert_eq!(form("a - 1"), "a - ?");
        assert_eq!(form("(a)-1"), "( a ) - ?");
        assert_eq!(form("f(-1)"), "f ( ? )");
        assert_eq!(form("SELECT -1"), "select ?");
    }

    #[test]
    fn words_that_are_values_are_values_except_in_a_test() {
        assert_eq!(form("SELECT NULL, TRUE"), "select ?");
        assert_eq!(
            form("a IS NULL OR b IS NOT FALSE"),
            "a is null or b is not false"
        );
        assert_eq!(form("null_column = true"), "null_column = ?");
    }

    #[test]
    fn a_broken_text_is_read_to_its_end() {
        for text in [
            "'", "\"", "$", "$a", "$a$", "/*", "--", "E'\\", "é'é", "-", "a::", "$1::\"x",
        ] {
            let _ = (statement_name(text), hashes(text));
        }
    }

    #[test]
    fn an_outline_has_neither_conditions_nor_orders_nor_assignments() {
        let of = |text| outline(&canonical(text)).join(" ");
        assert_eq!(
            of(
                "SELECT a FROM t WHERE (b = 1 OR c IN (SELECT d FROM u WHERE e)) ORDER BY a, b LIMIT 2"
            ),
            "select a from t limit ?"
        );
        assert_eq!(
            of("UPDATE t SET a = 1, b = 2 WHERE id = 3 RETURNING a"),
            "update t returning a"
        );
        assert_eq!(
            of(
                "INSERT INTO \"t\" (a, b) VALUES ($1, DEFAULT), ($2, 3) ON CONFLICT (a) DO UPDATE SET b = 1 RETURNING a"
            ),
            "insert into \"t\" on conflict ( a ) do update returning a"
        );
        assert_eq!(
            of("SELECT x FROM (SELECT a FROM t WHERE b ORDER BY c) AS s"),
            "select x from ( select a from t ) as s"
        );
    }

    #[test]
    fn the_table_has_one_name_for_each_hash() {
        let lines = include_str!("statement_names.txt").lines();
        let mut hashes: Vec<_> = lines.filter_map(|line| line.split_once(' ')).collect();
        let number = hashes.len();
        hashes.sort_by_key(|(_, hash)| *hash);
        hashes.dedup_by_key(|(_, hash)| *hash);
        assert_eq!(hashes.len(), number);
        let table = table();
        assert_eq!(table.exact.len() + table.outlines.len(), number);
    }
}
