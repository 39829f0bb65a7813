//! SQL expressions that the models' filters and orders use.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::Text;

use super::condition::{By, Condition};

/// All types of analysis with their position. A lateral query for each type uses an index, however
/// many analyses the project has.
pub(crate) const EACH_TYPE: &str = "pg_catalog.unnest(pg_catalog.enum_range(NULL::analysis.analysis_type)) \
                         WITH ORDINALITY AS kind (type, position)";

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

/// Returns the condition for rows whose column begins with the text.
pub(crate) fn begins_with<'a, C>(column: C, text: &'a str, by: By) -> Condition<'a>
where
    C: QueryFragment<Pg> + Send + 'a,
{
    Condition::new(BeginsWith {
        column,
        pattern: format!("{}%", escaped(text)),
        range: (by == By::Index).then(|| (text, end_of_prefix(text))),
    })
}

/// A condition for texts with a prefix.
///
/// `LIKE` alone uses an index only if the plan is made for one pattern. The two comparisons are
/// those of the operator class `text_pattern_ops`. They compare bytes, whatever the collation, and
/// use an index of that class in a plan for any values too.
///
/// In such a plan, PostgreSQL expects one of 200 rows in any range of texts. If other conditions
/// select the rows of an analysis, it would also read all index entries of the range, which may be
/// most of the table. Such a query therefore has `LIKE` alone.
struct BeginsWith<'a, C> {
    column: C,
    pattern: String,
    range: Option<(&'a str, Option<String>)>,
}

impl<C: QueryFragment<Pg>> QueryFragment<Pg> for BeginsWith<'_, C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(" LIKE ");
        out.push_bind_param::<Text, _>(&self.pattern)?;
        if let Some((first, end)) = &self.range {
            out.push_sql(" AND ");
            self.column.walk_ast(out.reborrow())?;
            out.push_sql(" OPERATOR(pg_catalog.~>=~) ");
            out.push_bind_param::<Text, _>(*first)?;
            if let Some(end) = end {
                out.push_sql(" AND ");
                self.column.walk_ast(out.reborrow())?;
                out.push_sql(" OPERATOR(pg_catalog.~<~) ");
                out.push_bind_param::<Text, _>(end)?;
            }
        }
        out.push_sql(")");
        Ok(())
    }
}

/// Returns a text that follows all texts with the prefix, by their bytes.
///
/// Only a character of ASCII is incremented, since the encoding of a database may lack the
/// character after another one. The result may therefore follow other texts too. `None` if the
/// prefix has no such character.
fn end_of_prefix(prefix: &str) -> Option<String> {
    // DEL has no successor in ASCII.
    let (at, last) = prefix
        .char_indices()
        .rev()
        .find(|(_, character)| *character < '\u{7f}')?;
    let mut end = prefix.get(..at)?.to_owned();
    end.push(char::from_u32(u32::from(last) + 1)?);
    Some(end)
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

#[cfg(test)]
mod tests {
    use super::end_of_prefix;

    #[test]
    fn the_end_of_a_prefix_follows_every_text_with_it() {
        for (prefix, end) in [
            ("src/", Some("src0")),
            ("src/a", Some("src/b")),
            ("src/\u{e9}", Some("src0")),
            ("a\u{7f}", Some("b")),
            ("\u{e9}", None),
            ("\u{7f}", None),
            ("", None),
        ] {
            assert_eq!(end_of_prefix(prefix).as_deref(), end, "{prefix:?}");
            let Some(end) = end else { continue };
            for rest in ["", "a", "\u{7f}", "\u{e9}", "\u{10ffff}"] {
                let text = format!("{prefix}{rest}");
                assert!(prefix <= &*text && &*text < end, "{text:?} and {end:?}");
            }
        }
    }
}
