//! Keyset pagination.
//!
//! Pages neither repeat nor skip a row while others write, and cost the same at the end of a table
//! as at its beginning. A caller requests a page by a [`Page`] and receives a [`Paged`]. A
//! [`Cursor`] marks where a page begins: it contains the sort key and the id of the adjacent row.

use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Result};

mod cursor;
mod list_query;
#[cfg(feature = "utoipa")]
mod openapi;
mod order;

pub use cursor::Cursor;
pub use cursor::{Key, SortKey, cursor_at};
pub use list_query::{ListQuery, from_query};
pub(crate) use order::{Order, orders};
pub use order::{PageOrder, named, snake_case};

/// The default number of rows on a page.
pub const DEFAULT_LIMIT: u32 = 20;
/// The largest number of rows on a page.
pub const MAX_LIMIT: u32 = 100;

/// A request for a part of a list: up to `limit` rows after or before a cursor, in the order `O`.
///
/// ```
/// use wundr_db::{Page, UserOrder};
///
/// let page = Page::new().limit(50).order(UserOrder::Name).with_total();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<O> {
    limit: u32,
    order: O,
    start: Start,
    with_total: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Start {
    First,
    Last,
    After(Cursor),
    Before(Cursor),
}

impl<O: Default> Default for Page<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O: Default> Page<O> {
    /// Creates a request for the first 20 rows in the list's default order.
    #[must_use]
    pub fn new() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            order: O::default(),
            start: Start::First,
            with_total: false,
        }
    }
}

impl<O> Page<O> {
    /// Sets the largest number of rows. Default: 20. Must be between 1 and 100, which is checked
    /// when the page is read.
    #[must_use]
    pub fn limit(self, limit: u32) -> Self {
        Self { limit, ..self }
    }

    /// Sets the order.
    #[must_use]
    pub fn order(self, order: O) -> Self {
        Self { order, ..self }
    }

    /// Requests the rows that follow the cursor's row.
    #[must_use]
    pub fn after(self, cursor: Cursor) -> Self {
        Self {
            start: Start::After(cursor),
            ..self
        }
    }

    /// Requests the rows that precede the cursor's row, in the list's order.
    #[must_use]
    pub fn before(self, cursor: Cursor) -> Self {
        Self {
            start: Start::Before(cursor),
            ..self
        }
    }

    /// Requests the last rows of the list, in the list's order.
    #[must_use]
    pub fn last(self) -> Self {
        Self {
            start: Start::Last,
            ..self
        }
    }

    /// Requests the number of all rows that the filter matches, too.
    ///
    /// The same statement counts them, so that the page and the total are of one snapshot. Counting
    /// makes the statement slower.
    #[must_use]
    pub fn with_total(self) -> Self {
        Self {
            with_total: true,
            ..self
        }
    }

    pub(crate) fn sort(&self) -> &O {
        &self.order
    }

    pub(crate) fn wants_total(&self) -> bool {
        self.with_total
    }

    pub(crate) fn cursor(&self) -> Option<&Cursor> {
        match &self.start {
            Start::After(cursor) | Start::Before(cursor) => Some(cursor),
            Start::First | Start::Last => None,
        }
    }

    pub(crate) fn is_backward(&self) -> bool {
        matches!(self.start, Start::Last | Start::Before(_))
    }

    /// Returns the number of rows to fetch: one more than the limit, which shows whether there is a
    /// further page.
    pub(crate) fn rows_to_fetch(&self) -> Result<i64> {
        if (1..=MAX_LIMIT).contains(&self.limit) {
            Ok(i64::from(self.limit) + 1)
        } else {
            Err(Error::invalid(
                "limit",
                format_args!("must be between 1 and {MAX_LIMIT}, is {}", self.limit),
            ))
        }
    }

    /// Builds the page from the fetched rows, which are in the order of the query.
    pub(crate) fn answer<T>(
        &self,
        mut rows: Vec<T>,
        total: Option<u64>,
        cursor_of: impl Fn(&T) -> Cursor,
    ) -> Paged<T> {
        let further = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        let backward = self.is_backward();
        if backward {
            rows.reverse();
        }
        let came_from = self.cursor().is_some();
        let (has_previous, has_next) = if backward {
            (further, came_from)
        } else {
            (came_from, further)
        };
        let previous = rows.first().filter(|_| has_previous).map(&cursor_of);
        let next = rows.last().filter(|_| has_next).map(&cursor_of);
        Paged {
            items: rows,
            previous,
            next,
            total,
        }
    }
}

/// The fields of a [`Page`] from outside.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, bound = "O: Deserialize<'de> + Default")]
struct PageFields<O> {
    limit: u32,
    order: O,
    after: Option<Cursor>,
    before: Option<Cursor>,
    last: bool,
    total: bool,
}

impl<O: Default> Default for PageFields<O> {
    fn default() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            order: O::default(),
            after: None,
            before: None,
            last: false,
            total: false,
        }
    }
}

impl<O> TryFrom<PageFields<O>> for Page<O> {
    type Error = Error;

    fn try_from(fields: PageFields<O>) -> Result<Self> {
        let start = match (fields.after, fields.before, fields.last) {
            (None, None, false) => Start::First,
            (Some(cursor), None, false) => Start::After(cursor),
            (None, Some(cursor), false) => Start::Before(cursor),
            (None, None, true) => Start::Last,
            _ => {
                let reason = "only one of after, before and last can be given";
                return Err(Error::invalid("after", reason));
            }
        };
        let page = Self {
            limit: fields.limit,
            order: fields.order,
            start,
            with_total: fields.total,
        };
        page.rows_to_fetch()?;
        Ok(page)
    }
}

/// A page is read from the fields `limit`, `order`, `after`, `before`, `last` and `total`. Each may
/// be absent, and others are refused.
impl<'de, O: Deserialize<'de> + Default> Deserialize<'de> for Page<O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = PageFields::deserialize(deserializer)?;
        fields.try_into().map_err(serde::de::Error::custom)
    }
}

/// A page is parsed from a query string with the same fields.
impl<O: DeserializeOwned + Default> FromStr for Page<O> {
    type Err = Error;

    /// # Errors
    /// - [`Error::InvalidInput`] with the field, if a field is unknown, is given twice or has an
    ///   invalid value
    fn from_str(query: &str) -> Result<Self> {
        from_query::<PageFields<O>>(query)?.try_into()
    }
}

/// The query string from which the same page is parsed.
///
/// ```
/// use wundr_db::{Page, UserOrder};
///
/// let page = Page::new().order(UserOrder::Name).limit(50).last();
/// assert_eq!(page.to_string(), "limit=50&order=name&last=true");
/// assert_eq!(page.to_string().parse::<Page<UserOrder>>()?, page);
/// # Ok::<(), wundr_db::Error>(())
/// ```
impl<O: fmt::Display> fmt::Display for Page<O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "limit={}&order={}", self.limit, self.order)?;
        match &self.start {
            Start::First => {}
            Start::Last => formatter.write_str("&last=true")?,
            Start::After(cursor) => write!(formatter, "&after={cursor}")?,
            Start::Before(cursor) => write!(formatter, "&before={cursor}")?,
        }
        if self.with_total {
            formatter.write_str("&total=true")?;
        }
        Ok(())
    }
}

impl<T> Paged<T> {
    /// Returns the page with each row converted, for example into the form that a client receives.
    #[must_use]
    pub fn map<R>(self, convert: impl FnMut(T) -> R) -> Paged<R> {
        Paged {
            items: self.items.into_iter().map(convert).collect(),
            previous: self.previous,
            next: self.next,
            total: self.total,
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Paged<T> {
    /// The rows, in the list's order.
    pub items: Vec<T>,
    /// The cursor of the preceding page, for [`Page::before`], if there may be one.
    pub previous: Option<Cursor>,
    /// The cursor of the following page, for [`Page::after`], if there may be one.
    pub next: Option<Cursor>,
    /// The number of rows that the filter matches, if it was requested.
    pub total: Option<u64>,
}
