//! SQL expressions that the models' filters and orders use.

use diesel::expression::{AppearsOnTable, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::{Column, Expression, QueryResult, sql_types};
use uuid::Uuid;

diesel::infix_operator!(LikeInC, " COLLATE pg_catalog.\"C\" ILIKE ", backend: diesel::pg::Pg);

/// `ILIKE` that folds the 26 letters of ASCII alone, whatever the collation of the database.
pub(crate) fn like_in_c<L, R>(text: L, pattern: R) -> LikeInC<L, R> {
    LikeInC::new(text, pattern)
}

/// Checks whether a text contains another, by a [pattern](containing): without regard to the case of letters as the
/// collation of the database covers it, and of the letters of ASCII in every database.
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

/// A condition for the rows on one side of a row whose time is later than those of `chrono`.
///
/// The cursor contains the latest time of `chrono` instead, as the row does. The condition therefore
/// looks up the row's time: otherwise, rows after such a row would be repeated or skipped. The time
/// of a row that has since been deleted counts as `infinity`.
pub(crate) struct Beyond<T, C> {
    pub(crate) table: T,
    pub(crate) column: C,
    pub(crate) id: Uuid,
    pub(crate) ascends: bool,
}

impl<T, C> Expression for Beyond<T, C> {
    type SqlType = sql_types::Bool;
}

impl<T, C, S> AppearsOnTable<S> for Beyond<T, C> {}

impl<T, C, G> ValidGrouping<G> for Beyond<T, C> {
    type IsAggregate = is_aggregate::No;
}

impl<T: QueryFragment<Pg>, C: Column + QueryFragment<Pg>> QueryFragment<Pg> for Beyond<T, C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(", ");
        self.table.walk_ast(out.reborrow())?;
        out.push_sql(if self.ascends { ".id) > (" } else { ".id) < (" });
        out.push_sql("COALESCE((SELECT place.");
        out.push_identifier(C::NAME)?;
        out.push_sql(" FROM ");
        self.table.walk_ast(out.reborrow())?;
        out.push_sql(" AS place WHERE place.id = ");
        out.push_bind_param::<sql_types::Uuid, _>(&self.id)?;
        out.push_sql(" AND place.");
        out.push_identifier(C::NAME)?;
        out.push_sql(" >= '262142-12-31 23:59:59.999999+00'), 'infinity'), ");
        out.push_bind_param::<sql_types::Uuid, _>(&self.id)?;
        out.push_sql(")");
        Ok(())
    }
}
