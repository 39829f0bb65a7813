//! The encoding of values as binds.

use std::fmt;
use std::io::Write as _;

use diesel::pg::Pg;
use diesel::query_builder::QueryId;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::is_nullable::NotNull;
use diesel::sql_types::{self, Nullable};

/// The encoding of values of an SQL type as binds.
///
/// The values of an enum are sent as text and cast in the statement. So no connection has to look
/// up the OID of the enum first.
#[diagnostic::on_unimplemented(
    message = "a column of the SQL type `{Self}` cannot be written by `NewRow` or `Changes`",
    label = "the field's column has the SQL type `{Self}`",
    note = "write such a column by an own statement"
)]
pub trait Encoding {
    /// The type that the value is sent as.
    type Sql: sql_types::SqlType;
    /// The type that the value is sent as within the array of one column of many rows. It differs
    /// from `Sql` for arrays, because `UNNEST` flattens an array of arrays.
    type InArray: sql_types::SqlType;
    /// The cast after the value, for example `::public.user_role`.
    const CAST: &'static str = "";
    /// True if `COPY`, which casts nothing, reads the value as it is sent. It reads a text as the
    /// name of an enum's value, but not an array of texts as an array of enums.
    const COPIED: bool = true;
}

macro_rules! encoded_as_itself {
    ($($sql:ty),* $(,)?) => {
        $(impl Encoding for $sql { type Sql = $sql; type InArray = $sql; })*
    };
}
encoded_as_itself!(
    sql_types::BigInt,
    sql_types::Binary,
    sql_types::Bool,
    sql_types::Date,
    sql_types::Double,
    sql_types::Float,
    sql_types::Inet,
    sql_types::Integer,
    sql_types::Jsonb,
    sql_types::Numeric,
    sql_types::SmallInt,
    sql_types::Text,
    sql_types::Uuid,
);

impl Encoding for sql_types::Timestamptz {
    type Sql = super::timestamp::Moment;
    type InArray = super::timestamp::Moment;
}

macro_rules! encoded_as_text_array {
    ($($element:ty as $cast:literal, copied: $copied:literal);* $(;)?) => {
        $(impl Encoding for sql_types::Array<$element> {
            type Sql = sql_types::Array<sql_types::Text>;
            type InArray = ArrayLiteral;
            const CAST: &'static str = $cast;
            const COPIED: bool = $copied;
        })*
    };
}
encoded_as_text_array!(
    sql_types::Text as "::pg_catalog.text[]", copied: true;
    crate::schema::setup::sql_types::Platform as "::setup.platform[]", copied: false;
);

impl<S> Encoding for Nullable<S>
where
    S: Encoding + sql_types::SqlType<IsNull = NotNull>,
    S::Sql: sql_types::SqlType<IsNull = NotNull>,
    S::InArray: sql_types::SqlType<IsNull = NotNull>,
{
    type Sql = Nullable<S::Sql>;
    type InArray = Nullable<S::InArray>;
    const CAST: &'static str = S::CAST;
    const COPIED: bool = S::COPIED;
}

/// PostgreSQL's pseudo-type `unknown`, whose OID is 705: the server infers the type from the cast
/// in the statement. A value of the type `text` would be cast at each execution.
#[derive(Debug, Clone, Copy, QueryId, sql_types::SqlType)]
#[diesel(postgres_type(oid = 705, array_oid = 0))]
pub struct Unknown;

/// An array in the text form that PostgreSQL reads, for example `{"a","b"}`.
#[derive(Debug, Clone, Copy, QueryId, sql_types::SqlType)]
#[diesel(postgres_type(oid = 25, array_oid = 1009))]
pub struct ArrayLiteral;

impl<T: fmt::Debug + fmt::Display> ToSql<ArrayLiteral, Pg> for Vec<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(array_literal(self).as_bytes())?;
        Ok(IsNull::No)
    }
}

fn array_literal<T: fmt::Display>(elements: &[T]) -> String {
    let mut literal = "{".to_owned();
    for (index, element) in elements.iter().enumerate() {
        literal.push_str(if index > 0 { ",\"" } else { "\"" });
        for character in element.to_string().chars() {
            if matches!(character, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(character);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

#[cfg(test)]
mod tests {
    use super::array_literal;

    #[test]
    fn an_array_literal_quotes_what_would_end_an_element() {
        assert_eq!(array_literal::<String>(&[]), "{}");
        assert_eq!(
            array_literal(&["plain", "", "NULL", "a,b}", r#"say "hi""#, r"C:\"]),
            r#"{"plain","","NULL","a,b}","say \"hi\"","C:\\"}"#
        );
    }
}
