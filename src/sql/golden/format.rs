//! Breaks a statement into lines, without a change to its tokens.

/// The longest line, unless a single token is longer.
const WIDTH: usize = 110;

/// The words that begin a line. Longer ones come first.
const CLAUSES: [&[&str]; 24] = [
    &["LEFT", "JOIN"],
    &["CROSS", "JOIN"],
    &["JOIN"],
    &["FROM"],
    &["WHERE"],
    &["GROUP", "BY"],
    &["HAVING"],
    &["ORDER", "BY"],
    &["LIMIT"],
    &["OFFSET"],
    &["WINDOW"],
    &["UNION"],
    &["FOR", "UPDATE"],
    &["FOR", "NO", "KEY"],
    &["SELECT"],
    &["INSERT"],
    &["UPDATE"],
    &["DELETE"],
    &["VALUES"],
    &["SET"],
    &["ON", "CONFLICT"],
    &["DO", "UPDATE"],
    &["RETURNING"],
    &["AND"],
];

/// The words after which a parenthesis encloses lines of its own.
const SUBQUERIES: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];

/// A token, and whether white space stands before it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Token<'s> {
    text: &'s str,
    is_apart: bool,
}

/// The tokens, without the white space between them.
pub(super) fn tokens(sql: &str) -> Vec<String> {
    let tokens = split(sql).into_iter();
    tokens.map(|token| token.text.to_owned()).collect()
}

fn split(sql: &str) -> Vec<Token<'_>> {
    const OPERATORS: &str = "+-*/<>=~!@#%^&|?:.";
    let mut tokens = Vec::new();
    let mut rest = sql;
    loop {
        let trimmed = rest.trim_start();
        let is_apart = trimmed.len() < rest.len();
        rest = trimmed;
        let Some(first) = rest.chars().next() else {
            return tokens;
        };
        let run = |of: &dyn Fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
        let length = match first {
            '\'' | '"' => quoted(rest, first),
            'E' if rest.starts_with("E'") => 1 + quoted(&rest[1..], '\''),
            _ if OPERATORS.contains(first) => run(&|c| OPERATORS.contains(c)),
            _ if first.is_alphanumeric() || first == '_' || first == '$' => {
                run(&|c| c.is_alphanumeric() || c == '_' || c == '$')
            }
            _ => first.len_utf8(),
        };
        let (text, behind) = rest.split_at(length);
        tokens.push(Token { text, is_apart });
        rest = behind;
    }
}

/// The length of what is quoted; a quote that is doubled begins the next token. No statement
/// escapes a quote.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

pub(super) fn format(sql: &str) -> String {
    let tokens = split(sql);
    let mut lines = vec![String::new()];
    // For each open parenthesis, whether it encloses a query; the outermost level does.
    let mut open = vec![true];
    let mut is_between = false;
    for (index, token) in tokens.iter().enumerate() {
        let next = |ahead: usize| tokens.get(index + ahead).map_or("", |token| token.text);
        let is_clause = || {
            CLAUSES
                .iter()
                .any(|words| (0..words.len()).all(|word| next(word) == words[word]))
        };
        if token.text == "BETWEEN" {
            is_between = true;
        }
        let closes_query = token.text == ")" && open.len() > 1 && open.last() == Some(&true);
        if token.text == ")" && open.len() > 1 {
            open.pop();
        }
        let depth = open.iter().skip(1).filter(|&&is_query| is_query).count();
        let previous = index.checked_sub(1).map(|index| tokens[index].text);
        let continues = match token.text {
            "AND" => std::mem::take(&mut is_between),
            "JOIN" => matches!(previous, Some("LEFT" | "CROSS")),
            "FROM" => matches!(previous, Some("DISTINCT" | "ROWS" | "DELETE")),
            "UPDATE" => matches!(previous, Some("DO" | "FOR" | "KEY")),
            _ => false,
        };
        let in_query = open.last() == Some(&true);
        let line = lines.last_mut().unwrap();
        let space = usize::from(token.is_apart);
        let breaks = index > 0
            && (closes_query
                || in_query && is_clause() && !continues
                || line.len() + space + token.text.len() > WIDTH && token.is_apart);
        if breaks {
            let is_wrapped = !(closes_query || (in_query && is_clause()));
            let indent = "  ".repeat(depth + usize::from(is_wrapped) * 2);
            lines.push(indent + token.text);
        } else {
            if token.is_apart && !line.is_empty() {
                line.push(' ');
            }
            line.push_str(token.text);
        }
        if token.text == "(" {
            open.push(SUBQUERIES.contains(&next(1)));
        }
    }
    let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n")
}

#[test]
fn a_statement_is_broken_at_its_clauses() {
    assert_eq!(
        format(
            "WITH a AS (SELECT 'x AND ''y', b FROM c WHERE d AND (e OR f)) SELECT * FROM a LIMIT $1"
        ),
        "WITH a AS (\n  SELECT 'x AND ''y', b\n  FROM c\n  WHERE d\n  AND (e OR f)\n)\nSELECT *\nFROM a\nLIMIT $1"
    );
}
