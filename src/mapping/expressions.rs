//! SQL expressions that the models' filters and orders use.

diesel::infix_operator!(LikeInC, " COLLATE pg_catalog.\"C\" ILIKE ", backend: diesel::pg::Pg);

/// `ILIKE` that folds the 26 letters of ASCII alone, whatever the collation of the database.
pub(crate) fn like_in_c<L, R>(text: L, pattern: R) -> LikeInC<L, R> {
    LikeInC::new(text, pattern)
}

/// Checks whether a text contains another, by a [pattern](containing): without regard to the case
/// of letters as the collation of the database covers it, and of the letters of ASCII in every
/// database.
macro_rules! matches_text {
    ($column:expr, $pattern:expr) => {
        $column
            .ilike($pattern.clone())
            .or(crate::mapping::expressions::like_in_c(
                $column,
                diesel::IntoSql::into_sql::<diesel::sql_types::Text>($pattern.clone()),
            ))
    };
}
pub(crate) use matches_text;

/// Returns a LIKE pattern for values that contain the text. Wildcards in the text are escaped.
pub(crate) fn containing(text: &str) -> String {
    format!("%{}%", escaped(text))
}

/// Returns a LIKE pattern for values that begin with the text.
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
