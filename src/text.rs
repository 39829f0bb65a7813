//! Text in patterns and in SQL functions.

use diesel::sql_types::{Jsonb, Text};

diesel::define_sql_function! {
    /// Text in lower case.
    #[sql_name = "pg_catalog.lower"]
    fn lower(text: Text) -> Text;
}

diesel::infix_operator!(Merged, " || ", Jsonb, backend: diesel::pg::Pg);

/// `||` on JSONB: the right side's fields replace the left side's.
pub(crate) fn merged<L, R>(left: L, right: R) -> Merged<L, R> {
    Merged::new(left, right)
}

/// A LIKE pattern that matches what contains the text; its own wildcards are taken literally.
pub(crate) fn containing(text: &str) -> String {
    format!("%{}%", escaped(text))
}

/// A LIKE pattern that matches what begins with the text.
pub(crate) fn beginning_with(text: &str) -> String {
    format!("{}%", escaped(text))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
