//! The orders of lists: their names, and the macro that declares them.

#[cfg(doc)]
use crate::mapping::RowSql;
use crate::mapping::keyset::SortColumn;
use crate::pagination::{Cursor, Page};
use crate::{Error, Result};

/// Returns the name of a variant in snake case: `created_at` of `CreatedAt`.
pub fn snake_case(variant: &str) -> String {
    let mut name = String::with_capacity(variant.len() + 4);
    for character in variant.chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    name
}

/// Returns the order with this name in snake case.
///
/// # Errors
/// - [`Error::InvalidInput`] if there is none
pub fn named<O: Copy>(all: &[(O, &str)], name: &str) -> Result<O> {
    let found = all.iter().find(|(_, variant)| snake_case(variant) == name);
    found.map(|&(order, _)| order).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|(_, variant)| snake_case(variant)).collect();
        Error::invalid("order", format_args!("must be one of {}", names.join(", ")))
    })
}

/// Declares the orders in which rows are listed, page by page.
///
/// `pub NoteOrder of Note in notes` declares an enum of the orders of rows `Note`, each with a
/// column of the table `notes` and a direction, and implements [`PageOrder`](crate::PageOrder).
/// Rows with the same value are ordered by the table's column `id`. The row has a field with the
/// name of each column that is sorted by, and a field `id`; it may have others, for example those
/// of a joined table. Without an index on `(column, id)`, each page sorts all rows.
///
/// A column is of one of the types `timestamptz`, `text`, `varchar`, `int4`, `int8` and `numeric`,
/// is NOT NULL, and its field is a `DateTime<Utc>`, `String`, `i32`, `i64` or `BigDecimal`.
///
/// An order is displayed, parsed and deserialized by its name in snake case.
///
/// # Examples
/// ```
/// use wundr_db::chrono::{DateTime, Utc};
/// use wundr_db::uuid::Uuid;
///
/// diesel::table! {
///     app.notes (id) {
///         id -> Uuid,
///         title -> Text,
///         created_at -> Timestamptz,
///     }
/// }
///
/// pub struct Note {
///     pub id: Uuid,
///     pub title: String,
///     pub created_at: DateTime<Utc>,
/// }
///
/// wundr_db::orders! {
///     /// The order in which notes are listed.
///     pub NoteOrder of Note in notes {
///         /// Newest first.
///         #[default]
///         Newest = created_at desc,
///         /// By title.
///         Title = title asc,
///     }
/// }
/// # fn main() {
/// assert_eq!("title".parse::<NoteOrder>().unwrap(), NoteOrder::Title);
/// # }
/// ```
#[macro_export]
macro_rules! orders {
    (
        $(#[$doc:meta])*
        $visibility:vis $order:ident of $row:ident in $table:ident {
            $($(#[$value_doc:meta])* $value:ident = $column:ident $direction:ident),* $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[non_exhaustive]
        $visibility enum $order {
            $($(#[$value_doc])* $value,)*
        }

        /// The name of the order in snake case, for a query string.
        impl std::fmt::Display for $order {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&$crate::__private::pagination::snake_case(match self {
                    $(Self::$value => stringify!($value),)*
                }))
            }
        }

        impl std::str::FromStr for $order {
            type Err = $crate::Error;

            fn from_str(name: &str) -> $crate::Result<Self> {
                let all = [$((Self::$value, stringify!($value)),)*];
                $crate::__private::pagination::named(&all, name)
            }
        }

        impl<'de> $crate::__private::serde::Deserialize<'de> for $order {
            fn deserialize<D: $crate::__private::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                name.parse().map_err($crate::__private::serde::de::Error::custom)
            }
        }

        impl $order {
            /// The names of the variants.
            #[allow(dead_code)]
            #[doc(hidden)]
            $visibility const VARIANTS: &'static [&'static str] = &[$(stringify!($value)),*];

            /// Returns the position of a row in a list of this order, for
            /// `Page::after` and `Page::before`.
            #[allow(dead_code)]
            #[must_use]
            $visibility fn cursor_of(self, row: &$row) -> $crate::Cursor {
                match self {
                    $(Self::$value => $crate::__private::pagination::cursor_at(stringify!($table.$column), &row.$column, row.id),)*
                }
            }
        }

        impl $crate::PageOrder for $order {
            type Row = $row;

            fn column(&self) -> $crate::__private::mapping::SortColumn {
                match self {
                    $(Self::$value => $crate::__private::mapping::SortColumn {
                        name: stringify!($table.$column),
                        table: &$table::table,
                        column: &$table::$column,
                        id: &$table::id,
                        key: $crate::__private::mapping::KeyType::of::<
                            $crate::diesel::dsl::SqlTypeOf<$table::$column>, _, _,
                        >(|row: &$row| &row.$column),
                        is_ascending: stringify!($direction).eq_ignore_ascii_case("asc"),
                    },)*
                }
            }

            fn cursor(&self, row: &$row) -> $crate::Cursor {
                self.cursor_of(row)
            }
        }
    };
}

/// Declares the orders of a table of this crate, whose pages are queries of [`RowSql`].
macro_rules! orders_of_table {
    (
        $(#[$doc:meta])*
        $order:ident of $row:ident in $table:ident { $($values:tt)* }
    ) => {
        $crate::orders! {
            $(#[$doc])*
            pub $order of $row in $table { $($values)* }
        }

        $crate::types::openapi::schema!($order, $crate::types::openapi::one_of(
            Self::VARIANTS.iter().map(|variant| $crate::pagination::snake_case(variant))
        ));

        impl $crate::pagination::Order for $order {
            type Query<'q> = $table::BoxedQuery<
                'q, diesel::pg::Pg, $crate::mapping::RowSql<$row>,
            >;

            fn start<'q>(page: &$crate::Page<Self>, rows: Self::Query<'q>) -> $crate::Result<Self::Query<'q>> {
                use diesel::QueryDsl;
                Ok(Self::sort(page, rows)?.limit(page.rows_to_fetch()?))
            }

            fn sort<'q>(page: &$crate::Page<Self>, rows: Self::Query<'q>) -> $crate::Result<Self::Query<'q>> {
                use diesel::QueryDsl;
                use $crate::PageOrder as _;
                let (condition, order) = page.sort().column().page(page.cursor(), page.is_backward())?;
                Ok(match condition {
                    Some(condition) => rows.filter(condition).order(order),
                    None => rows.order(order),
                })
            }
        }
    };
}
pub(crate) use orders_of_table as orders;

/// An order of pages: the column that rows are sorted by, and the position of a row.
///
/// [`orders!`](crate::orders) implements it.
pub trait PageOrder {
    /// The rows of the list.
    type Row;

    /// Returns the column that it sorts by.
    #[doc(hidden)]
    fn column(&self) -> SortColumn;
    /// Returns the position of a row.
    fn cursor(&self, row: &Self::Row) -> Cursor;
}

/// An order of the pages of a table of this crate.
pub(crate) trait Order: PageOrder + Sized {
    type Query<'q>;

    /// Sorts the rows and selects those after the page's cursor, up to the page's limit.
    fn start<'q>(page: &Page<Self>, rows: Self::Query<'q>) -> Result<Self::Query<'q>>;
    /// Sorts and selects the rows as [`start`](Self::start) does, without a limit.
    fn sort<'q>(page: &Page<Self>, rows: Self::Query<'q>) -> Result<Self::Query<'q>>;
}
