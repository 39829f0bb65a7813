//! Expressions of statements: functions of text and of documents.

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

/// A JSONB column with the fields of an object put in place of its own; a column that holds another
/// value is taken for `{}`, where `||` alone would make an array of the two.
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

/// Text with its 26 ASCII letters in lower case and all others as they are, whatever the collation
/// of the database: what the unique index on addresses holds.
pub(crate) fn folded<T>(text: T) -> lower<InC<T>>
where
    InC<T>: diesel::expression::AsExpression<Text>,
{
    lower(InC::new(text))
}
