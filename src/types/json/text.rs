//! Checks and comparisons of JSON text that do not recurse, so that no depth overflows the stack.

use serde::Serialize;
use serde_json::{Value, map};

use super::finite;

/// The most digits that PostgreSQL stores before and after the decimal point of a number.
const MOST_DIGITS: i64 = 131_072;
const MOST_DECIMALS: i64 = 16_383;

/// Returns the JSON text of a value, or the reason why it has none.
pub(super) fn of<T: Serialize + ?Sized>(value: &T) -> Result<String, String> {
    finite::check(value)?;
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    match canonical(&text).1 {
        Some(name) => Err(format!("has the field {name} twice")),
        None => Ok(text),
    }
}

enum Open<'v> {
    Array(std::slice::Iter<'v, Value>),
    Object(map::Iter<'v>),
}

/// Returns the JSON text of a tree.
pub(super) fn of_value(value: &Value) -> String {
    let mut text = String::new();
    let mut open = Vec::new();
    begin(value, &mut text, &mut open);
    while let Some(innermost) = open.last_mut() {
        let (next, end) = match innermost {
            Open::Array(elements) => (elements.next(), ']'),
            Open::Object(fields) => match fields.next() {
                Some((name, value)) => {
                    separate(&mut text);
                    push_string(name, &mut text);
                    text.push(':');
                    (Some(value), '}')
                }
                None => (None, '}'),
            },
        };
        match next {
            Some(value) => {
                if end == ']' {
                    separate(&mut text);
                }
                begin(value, &mut text, &mut open);
            }
            None => {
                text.push(end);
                open.pop();
            }
        }
    }
    text
}

fn begin<'v>(value: &'v Value, text: &mut String, open: &mut Vec<Open<'v>>) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(string) => push_string(string, text),
        Value::Array(elements) => {
            text.push('[');
            open.push(Open::Array(elements.iter()));
        }
        Value::Object(fields) => {
            text.push('{');
            open.push(Open::Object(fields.iter()));
        }
    }
}

fn separate(text: &mut String) {
    if !text.ends_with(['[', '{']) {
        text.push(',');
    }
}

fn push_string(string: &str, text: &mut String) {
    // Serializing a string cannot fail.
    text.push_str(&serde_json::to_string(string).unwrap_or_else(|_| "\"\"".to_owned()));
}

/// A token of JSON text. White space, commas and colons are skipped.
enum Token<'t> {
    Begin,
    End,
    /// A string with its quotes.
    String(&'t str),
    /// A number, `true`, `false` or `null`.
    Word(&'t str),
}

/// An iterator over the tokens of well-formed JSON text.
struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        let bytes = self.text.as_bytes();
        let is_between = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':');
        self.at += bytes.get(self.at..)?.iter().take_while(is_between).count();
        let start = self.at;
        Some(match *bytes.get(start)? {
            b'[' | b'{' => {
                self.at += 1;
                Token::Begin
            }
            b']' | b'}' => {
                self.at += 1;
                Token::End
            }
            b'"' => {
                let mut escaped = false;
                let length = bytes[start + 1..].iter().position(|&byte| {
                    let is_end = byte == b'"' && !escaped;
                    escaped = byte == b'\\' && !escaped;
                    is_end
                });
                self.at = length.map_or(bytes.len(), |length| start + length + 2);
                Token::String(self.text.get(start..self.at)?)
            }
            _ => {
                let is_word = |byte: &&u8| !is_between(byte) && !matches!(byte, b']' | b'}');
                self.at += bytes[start..].iter().take_while(is_word).count();
                Token::Word(self.text.get(start..self.at)?)
            }
        })
    }
}

/// Returns the reason why PostgreSQL or this crate rejects a document, if there is one.
pub(super) fn objection(text: &str, max_depth: usize) -> Option<String> {
    let mut depth = 0;
    for token in (Tokens { text, at: 0 }) {
        match token {
            Token::Begin => {
                depth += 1;
                if depth > max_depth {
                    return Some(format!("nests deeper than {max_depth} levels"));
                }
            }
            Token::End => depth -= 1,
            Token::String(string) => {
                if let Some(objection) = objection_to_string(string) {
                    return Some(objection.to_owned());
                }
            }
            Token::Word(word) if word.len() > 16_000 || word.contains(['e', 'E']) => {
                let Some(number) = Decimal::of(word) else {
                    continue;
                };
                let (whole, decimals) = number.extent();
                if whole > MOST_DIGITS || decimals > MOST_DECIMALS {
                    return Some(format!(
                        "contains a number with more than {MOST_DIGITS} digits before the decimal point or \
                         {MOST_DECIMALS} after it"
                    ));
                }
            }
            Token::Word(_) => {}
        }
    }
    None
}

fn objection_to_string(string: &str) -> Option<&'static str> {
    let mut rest = string;
    // True if the first half of a surrogate pair directly precedes.
    let mut is_half = false;
    while let Some(at) = rest.find('\\') {
        is_half &= at == 0;
        let escape = &rest.as_bytes()[at + 1..];
        let code = escape.strip_prefix(b"u").and_then(|code| code.get(..4));
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u16::from_str_radix(code, 16).ok());
        match code {
            Some(0) => {
                return Some("contains the character U+0000, which PostgreSQL cannot store");
            }
            Some(0xDC00..=0xDFFF) if !is_half => return Some(HALF),
            Some(0xDC00..=0xDFFF) => is_half = false,
            _ if is_half => return Some(HALF),
            Some(0xD800..=0xDBFF) => is_half = true,
            _ => {}
        }
        let length = if escape.first() == Some(&b'u') { 6 } else { 2 };
        rest = rest.get(at + length..).unwrap_or_default();
        if is_half && !rest.starts_with("\\u") {
            return Some(HALF);
        }
    }
    None
}

const HALF: &str = "contains half of a UTF-16 surrogate pair";

/// Checks whether two documents have the same value.
pub(super) fn same(one: &str, other: &str) -> bool {
    canonical(one).0 == canonical(other).0
}

enum Container {
    Array(Vec<String>),
    Object(Vec<(String, String)>, Option<String>),
}

/// Returns a text that all documents with the same value share, and the name of a field that an
/// object has twice.
fn canonical(text: &str) -> (String, Option<String>) {
    let (mut open, mut whole, mut repeated) = (Vec::new(), String::new(), None);
    let mut tokens = Tokens { text, at: 0 };
    while let Some(token) = tokens.next() {
        let part = match token {
            Token::Begin => {
                open.push(match text.as_bytes()[tokens.at - 1] {
                    b'[' => Container::Array(Vec::new()),
                    _ => Container::Object(Vec::new(), None),
                });
                continue;
            }
            Token::End => match open.pop() {
                Some(Container::Array(elements)) => format!("[{}]", elements.join(",")),
                Some(Container::Object(mut fields, _)) => {
                    // The sort is stable: of fields with the same name the last one counts, as in
                    // PostgreSQL.
                    fields.sort_by(|one, other| one.0.cmp(&other.0));
                    let mut object = "{".to_owned();
                    let mut fields = fields.into_iter().peekable();
                    while let Some((name, value)) = fields.next() {
                        if fields.peek().is_some_and(|next| next.0 == name) {
                            repeated = Some(name);
                            continue;
                        }
                        separate(&mut object);
                        object.push_str(&name);
                        object.push(':');
                        object.push_str(&value);
                    }
                    object.push('}');
                    object
                }
                None => continue,
            },
            Token::String(string) => {
                let unescaped: Result<String, _> = serde_json::from_str(string);
                let mut part = String::new();
                match unescaped {
                    Ok(unescaped) => push_string(&unescaped, &mut part),
                    Err(_) => part.push_str(string),
                }
                part
            }
            Token::Word(word) => {
                Decimal::of(word).map_or_else(|| word.to_owned(), |number| number.to_string())
            }
        };
        match open.last_mut() {
            None => whole = part,
            Some(Container::Array(elements)) => elements.push(part),
            Some(Container::Object(fields, name)) => match name.take() {
                None => *name = Some(part),
                Some(name) => fields.push((name, part)),
            },
        }
    }
    (whole, repeated)
}

/// A number: the digits times a power of ten.
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(word: &str) -> Option<Self> {
        let (is_negative, unsigned) = match word.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, word),
        };
        if !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let exponent: i64 = exponent.parse().unwrap_or(match exponent.starts_with('-') {
            true => i64::MIN / 2,
            false => i64::MAX / 2,
        });
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{decimals}");
        let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX / 4);
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self {
                is_negative: false,
                digits: "0".to_owned(),
                exponent: 0,
            });
        }
        let trailing = length(&digits) - length(digits.trim_end_matches('0'));
        let exponent = exponent.clamp(i64::MIN / 2, i64::MAX / 2);
        Some(Self {
            is_negative,
            digits: significant.to_owned(),
            exponent: exponent - length(decimals) + trailing,
        })
    }

    /// Returns the number of digits before and after the decimal point.
    fn extent(&self) -> (i64, i64) {
        let digits = i64::try_from(self.digits.len()).unwrap_or(i64::MAX / 4);
        (digits + self.exponent, -self.exponent)
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        write!(formatter, "{sign}{}e{}", self.digits, self.exponent)
    }
}
