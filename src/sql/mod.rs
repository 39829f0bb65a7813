//! The statements that are written in SQL by hand. The text of each is in `tests/sql`, see `golden`.
//!
//! Below are the four writes, as statements of few shapes.
//!
//! diesel prepares an upsert and an insert of many rows anew at each call, since their text depends on the values. The
//! statements here have one text for each table, whatever is given, but for an update, which has one for each set of
//! columns: a connection prepares each once and uses it again. Their parts come from the derives [`NewRow`](macro@wundr_db_macros::NewRow) and
//! [`Changes`](macro@wundr_db_macros::Changes).

use std::any::TypeId;
use std::fmt;
use std::io::Write as _;

use chrono::{DateTime, Utc};
use diesel::dsl::{AsSelect, SqlTypeOf};
use diesel::pg::{Pg, PgMetadataLookup, PgQueryBuilder};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::is_nullable::NotNull;
use diesel::sql_types::{self, Nullable};
use diesel::{QueryResult, QuerySource, Selectable, Table};

use crate::Result;

/// The values of a new row alone, NULL for those that are not given: what an upsert that is prepared already needs of
/// it, and a `COPY`.
pub(crate) struct Values<'r, N>(pub(crate) &'r N);

impl<N: NewRow> QueryFragment<Pg> for Values<'_, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        (0..N::COLUMNS.len()).try_for_each(|index| self.0.bind(index, &mut out))
    }
}

/// The values of a new row that are given: what an insert that is prepared already needs of it.
pub(crate) struct Given<'r, N>(pub(crate) &'r N);

impl<N: NewRow> QueryFragment<Pg> for Given<'_, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        given(self.0).try_for_each(|index| self.0.bind(index, &mut out))
    }
}

/// Returns the columns that an insert names.
fn given<N: NewRow>(new: &N) -> impl Iterator<Item = usize> {
    (0..N::COLUMNS.len()).filter(|&index| new.is_given(index))
}

/// The largest number of rows that one statement inserts.
pub const ROWS_PER_STATEMENT: usize = 10_000;

/// How values of an SQL type travel: enums go as text and are cast in the statement, so that no connection has to
/// look up the type's number first.
pub trait Wire {
    /// The type that the value is sent as.
    type Sql: sql_types::SqlType;
    /// The type that the value is sent as among those of many rows, in one array: the same, but for arrays, since
    /// `UNNEST` flattens an array of arrays.
    type Many: sql_types::SqlType;
    /// What stands behind the value, for example `::public.user_role`.
    const CAST: &'static str = "";
    /// Whether `COPY` takes the value as it is sent, since it casts nothing: it reads a text as an enum's word, but an
    /// array of texts is no array of enums.
    const COPIED: bool = true;
}

macro_rules! travels_as_itself {
    ($($sql:ty),* $(,)?) => {
        $(impl Wire for $sql { type Sql = $sql; type Many = $sql; })*
    };
}
travels_as_itself!(
    sql_types::Bool,
    sql_types::Inet,
    sql_types::Integer,
    sql_types::Jsonb,
    sql_types::Numeric,
    sql_types::Text,
    sql_types::Uuid,
);

impl Wire for sql_types::Timestamptz {
    type Sql = crate::types::timestamp::Moment;
    type Many = crate::types::timestamp::Moment;
}

macro_rules! travels_as_text_array {
    ($($element:ty as $cast:literal, copied: $copied:literal);* $(;)?) => {
        $(impl Wire for sql_types::Array<$element> {
            type Sql = sql_types::Array<sql_types::Text>;
            type Many = ArrayLiteral;
            const CAST: &'static str = $cast;
            const COPIED: bool = $copied;
        })*
    };
}
travels_as_text_array!(
    sql_types::Text as "::pg_catalog.text[]", copied: true;
    crate::schema::setup::sql_types::Platform as "::setup.platform[]", copied: false;
);

impl<S> Wire for Nullable<S>
where
    S: Wire + sql_types::SqlType<IsNull = NotNull>,
    S::Sql: sql_types::SqlType<IsNull = NotNull>,
    S::Many: sql_types::SqlType<IsNull = NotNull>,
{
    type Sql = Nullable<S::Sql>;
    type Many = Nullable<S::Many>;
    const CAST: &'static str = S::CAST;
    const COPIED: bool = S::COPIED;
}

/// An enum's word, sent without a type: the cast in the statement says what it is. A text would be cast each time.
#[derive(Debug, Clone, Copy, QueryId, sql_types::SqlType)]
#[diesel(postgres_type(oid = 705, array_oid = 0))]
pub struct Word;

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

/// A column of a new row.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// [`Wire::CAST`].
    pub cast: &'static str,
    /// The SQL that stands in where no value is given; equal to the column's default in the database.
    pub default: Option<&'static str>,
    /// When an upsert replaces the column of an existing row.
    pub replaced: Replaced,
    /// [`Wire::COPIED`].
    pub copied: bool,
}

/// When an upsert replaces a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// Never.
    Never,
    /// Unless no value is given.
    IfGiven,
    /// Always: there is no row without a value.
    Always,
}

/// A row to be inserted. Derived.
pub trait NewRow: Sized + 'static {
    /// What the statement returns.
    type Row: Selectable<Pg, SelectExpression: QueryFragment<Pg> + QueryId> + 'static;
    /// The table.
    type Table: Table + Default + QuerySource<FromClause: QueryFragment<Pg>>;
    /// Many rows, column by column.
    type Columns<'a>;
    /// The columns, in the order of the struct's fields.
    const COLUMNS: &'static [Column];
    /// The natural key that an upsert goes by, for example `(slug)`.
    const CONFLICT: Option<&'static str>;

    /// Turns rows into columns.
    fn columns(rows: &[Self]) -> Self::Columns<'_>;
    /// Checks whether the column has a value, or none that it could have: `false` where the database's default stands in.
    fn is_given(&self, index: usize) -> bool;
    /// Binds the value of one column.
    fn bind<'b>(&'b self, index: usize, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
    /// Binds one column of many rows, as an array.
    fn bind_column<'b>(
        columns: &'b Self::Columns<'_>,
        index: usize,
        out: &mut AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()>;
    /// Refuses what the database could only refuse without naming the column.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) with the column.
    fn check(&self) -> Result<()>;
}

/// A column of a set of changes.
#[derive(Debug, Clone, Copy)]
pub struct ChangedColumn {
    /// Its name.
    pub name: &'static str,
    /// [`Wire::CAST`].
    pub cast: &'static str,
}

/// Changes to one row. Derived.
pub trait Changes: 'static {
    /// What the statement returns.
    type Row: Selectable<Pg, SelectExpression: QueryFragment<Pg> + QueryId> + 'static;
    /// The key.
    type Id: ToSql<sql_types::Uuid, Pg> + Copy;
    /// The table.
    type Table: Table + Default + QuerySource<FromClause: QueryFragment<Pg>>;
    /// The columns that can change.
    const COLUMNS: &'static [ChangedColumn];

    /// Checks whether the column is to be set.
    fn is_set(&self, index: usize) -> bool;
    /// Binds the column's new value, or NULL.
    fn bind<'b>(&'b self, index: usize, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
    /// Returns the `updated_at` that the row must still have, where the table has that column.
    fn expected(&self) -> Option<&Option<DateTime<Utc>>>;
    /// Refuses what the database could only refuse without naming the column.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) with the column.
    fn check(&self) -> Result<()>;

    /// Checks whether there is nothing to set.
    fn is_empty(&self) -> bool {
        (0..Self::COLUMNS.len()).all(|index| !self.is_set(index))
    }
}

/// What diesel asks of a statement at every call, told without a walk through its text: that it has one of a few, so
/// that it may be kept, and the values of its new row.
macro_rules! prepared_with {
    ($values:ident) => {
        fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
            Ok(true)
        }

        fn collect_binds<'b>(
            &'b self,
            out: &mut RawBytesBindCollector<Pg>,
            lookup: &mut (dyn PgMetadataLookup + 'static),
            backend: &'b Pg,
        ) -> QueryResult<()> {
            out.binds.reserve(N::COLUMNS.len());
            out.metadata.reserve(N::COLUMNS.len());
            $values(self.new).collect_binds(out, lookup, backend)
        }
    };
}

/// Defines a statement's identity: one text for each set of type parameters.
macro_rules! fixed_shape {
    ($name:ident<$parameter:ident: $bound:ident>) => {
        impl<$parameter: $bound> QueryId for $name<'_, $parameter> {
            type QueryId = $name<'static, $parameter>;
            const HAS_STATIC_QUERY_ID: bool = true;

            fn query_id() -> Option<TypeId> {
                Some(TypeId::of::<Self::QueryId>())
            }
        }
    };
}

pub(crate) mod analyses;
pub(crate) mod analysis_issues;
pub(crate) mod analysis_leases;
pub(crate) mod analysis_metrics;
#[cfg(feature = "redis")]
pub(crate) mod cache;
mod cacheable;
mod cached_text;
pub(crate) mod copy;
mod count_by;
pub(crate) mod dashboard;
mod delete;
pub(crate) mod finding_matching;
pub(crate) mod functions;
#[cfg(test)]
mod golden;
pub(crate) mod ingest;
mod literal_limit;
pub(crate) mod live;
mod membership;
mod page_per_parent;
pub(crate) mod project_stats;
pub(crate) mod quality_gates;
#[cfg(feature = "crypto")]
pub(crate) mod sessions;
mod subquery;
pub(crate) mod tracking;
pub(crate) mod trends;
#[cfg(feature = "blocking")]
mod typed;
mod update;
mod upsert;
pub use cacheable::prepared;
use cached_text::{Shape, push_text};
pub(crate) use count_by::CountBy;
pub use delete::delete_matching;
pub(crate) use literal_limit::at_most;
pub use membership::{
    Membership, RemoveMembers, Removed, change_member, remove_members, upsert_member,
};
pub(crate) use page_per_parent::pages_of_each;
pub use page_per_parent::{page_of_each, parent_id};
pub(crate) use subquery::{Rows, RowsOf, ValueOf, columns_of};
#[cfg(feature = "blocking")]
#[cfg(feature = "blocking")]
pub(crate) use typed::{Found, found};
#[cfg(feature = "async")]
pub(crate) use update::NewValues;
#[cfg(any(feature = "async", feature = "blocking"))]
pub(crate) use update::RowOf;
use update::push_update;
pub use update::update;
#[cfg(feature = "async")]
pub use upsert::Upsert;
use upsert::push_on_conflict;
pub use upsert::upsert;

/// Pushes `separator` before every element but the first.
fn separate(out: &mut AstPass<'_, '_, Pg>, index: usize, separator: &str) {
    if index > 0 {
        out.push_sql(separator);
    }
}

/// The table and the columns that a statement prints, kept in it since diesel's pass borrows them.
pub(crate) struct Target<T: QuerySource, R: Selectable<Pg>> {
    table: T::FromClause,
    returning: R::SelectExpression,
}

impl<T, R> Target<T, R>
where
    T: Table + Default,
    R: Selectable<Pg>,
{
    fn new() -> Self {
        Self {
            table: T::default().from_clause(),
            returning: R::construct_selection(),
        }
    }
}

/// `INSERT ... RETURNING`, of one row. It names the columns that are given, so that the others get their defaults.
pub struct Insert<'a, N: NewRow> {
    new: &'a N,
    target: Target<N::Table, N::Row>,
}

/// Known by its text.
impl<N: NewRow> QueryId for Insert<'_, N> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<N: NewRow> Insert<'_, N> {
    /// Tells apart the texts that it may have: a bit for each column that is given.
    pub(crate) fn shape(&self) -> Shape {
        const { assert!(N::COLUMNS.len() <= 64, "a bit for each column") };
        let given = given(self.new).map(|index| 1 << index).sum();
        (TypeId::of::<Insert<'static, N>>(), given)
    }
}

/// `INSERT ... SELECT ... FROM UNNEST(...)`, of up to [`ROWS_PER_STATEMENT`] rows.
pub struct InsertMany<'a, N: NewRow> {
    columns: N::Columns<'a>,
    target: Target<N::Table, N::Row>,
}
fixed_shape!(InsertMany<N: NewRow>);

/// The types of the columns that a new row returns.
#[cfg(any(feature = "async", feature = "blocking"))]
pub(crate) type InsertedOf<N> = SqlTypeOf<<<N as NewRow>::Row as Selectable<Pg>>::SelectExpression>;

/// Inserts one row.
pub fn insert<N: NewRow>(new: &N) -> Insert<'_, N> {
    Insert {
        new,
        target: Target::new(),
    }
}

/// Inserts many rows.
pub fn insert_many<N: NewRow>(new: &[N]) -> InsertMany<'_, N> {
    InsertMany {
        columns: N::columns(new),
        target: Target::new(),
    }
}

/// `INSERT INTO` the table, and the columns with these places.
fn push_insert_into<'b, N: NewRow>(
    target: &'b Target<N::Table, N::Row>,
    columns: impl Iterator<Item = usize>,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    out.push_sql("INSERT INTO ");
    target.table.walk_ast(out.reborrow())?;
    out.push_sql(" (");
    for (position, index) in columns.enumerate() {
        separate(out, position, ", ");
        out.push_identifier(N::COLUMNS[index].name)?;
    }
    out.push_sql(")");
    Ok(())
}

fn push_value<'b, N: NewRow>(
    new: &'b N,
    index: usize,
    absent: Option<&str>,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    if absent.is_some() {
        out.push_sql("COALESCE(");
    }
    new.bind(index, out)?;
    out.push_sql(N::COLUMNS[index].cast);
    if let Some(absent) = absent {
        out.push_sql(", ");
        out.push_sql(absent);
        out.push_sql(")");
    }
    Ok(())
}

impl<N: NewRow> QueryFragment<Pg> for Insert<'_, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_insert_into::<N>(&self.target, given(self.new), &mut out)?;
        out.push_sql(" VALUES (");
        for (position, index) in given(self.new).enumerate() {
            separate(&mut out, position, ", ");
            push_value(self.new, index, None, &mut out)?;
        }
        out.push_sql(") RETURNING ");
        self.target.returning.walk_ast(out)
    }

    fn to_sql(&self, out: &mut PgQueryBuilder, _: &Pg) -> QueryResult<()> {
        push_text(self, self.shape(), out)
    }

    prepared_with!(Given);
}

impl<N: NewRow> QueryFragment<Pg> for InsertMany<'_, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_insert_into::<N>(&self.target, 0..N::COLUMNS.len(), &mut out)?;
        out.push_sql(" SELECT ");
        for (index, column) in N::COLUMNS.iter().enumerate() {
            separate(&mut out, index, ", ");
            if column.default.is_some() {
                out.push_sql("COALESCE(");
            }
            out.push_sql("\"new\".");
            out.push_identifier(column.name)?;
            out.push_sql(column.cast);
            if let Some(default) = column.default {
                out.push_sql(", ");
                out.push_sql(default);
                out.push_sql(")");
            }
        }
        out.push_sql(" FROM UNNEST(");
        for index in 0..N::COLUMNS.len() {
            separate(&mut out, index, ", ");
            N::bind_column(&self.columns, index, &mut out)?;
        }
        out.push_sql(") AS \"new\" (");
        for (index, column) in N::COLUMNS.iter().enumerate() {
            separate(&mut out, index, ", ");
            out.push_identifier(column.name)?;
        }
        out.push_sql(")");
        Ok(())
    }
}

impl<N: NewRow> Query for Insert<'_, N> {
    type SqlType = SqlTypeOf<AsSelect<N::Row, Pg>>;
}

#[cfg(feature = "blocking")]
mod blocking {
    use super::{Insert, InsertMany, NewRow};

    impl<N: NewRow, C> diesel::RunQueryDsl<C> for Insert<'_, N> {}
    impl<N: NewRow, C> diesel::RunQueryDsl<C> for InsertMany<'_, N> {}
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
