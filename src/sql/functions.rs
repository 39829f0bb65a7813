//! Text in patterns and in SQL functions.

use diesel::expression::AppearsOnTable;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Jsonb, Text};
use diesel::{Expression, QueryResult};

use crate::Document;

diesel::define_sql_function! {
    /// Returns text in lower case.
    #[sql_name = "pg_catalog.lower"]
    fn lower(text: Text) -> Text;
}

/// A JSONB column with the fields of an object put in place of its own; a column that holds another value is taken for
/// `{}`, where `||` alone would make an array of the two.
#[derive(Debug, Clone, QueryId)]
pub(crate) struct Merged<C> {
    column: C,
    fields: Document,
}

pub(crate) fn merged<C>(column: C, fields: Document) -> Merged<C> {
    Merged { column, fields }
}

impl<C: QueryFragment<Pg>> QueryFragment<Pg> for Merged<C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("CASE WHEN pg_catalog.jsonb_typeof(");
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(") = 'object' THEN ");
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(" ELSE '{}' END || ");
        out.push_bind_param::<Jsonb, _>(&self.fields)
    }
}

impl<C> Expression for Merged<C> {
    type SqlType = Jsonb;
}

impl<C, T> AppearsOnTable<T> for Merged<C> {}

diesel::postfix_operator!(InC, " COLLATE pg_catalog.\"C\"", Text, backend: diesel::pg::Pg);

/// Text with its 26 ASCII letters in lower case and all others as they are, whatever the collation of the database:
/// what the unique index on addresses holds.
pub(crate) fn folded<T>(text: T) -> lower<InC<T>>
where
    InC<T>: diesel::expression::AsExpression<Text>,
{
    lower(InC::new(text))
}

diesel::infix_operator!(LikeInC, " COLLATE pg_catalog.\"C\" ILIKE ", backend: diesel::pg::Pg);

/// `ILIKE` that folds the 26 letters of ASCII alone, whatever the collation of the database.
pub(crate) fn like_in_c<L, R>(text: L, pattern: R) -> LikeInC<L, R> {
    LikeInC::new(text, pattern)
}

/// Whether a text contains another, by a [pattern](containing): without regard to the case of letters as the
/// collation of the database knows it, and of the letters of ASCII in every database.
macro_rules! matches_text {
    ($column:expr, $pattern:expr) => {
        $column
            .ilike($pattern.clone())
            .or(crate::sql::functions::like_in_c(
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
