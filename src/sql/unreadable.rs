//! The search for rows that this version of the crate cannot decode.

use uuid::Uuid;

use super::decoding::Tried;
use crate::{Table, Unreadable};

/// The number of rows that one statement of a search reads.
pub(crate) const ROWS: i64 = 100;

/// The state of a search through one table, in the order of its keys.
pub(crate) struct Search {
    table: Table,
    limit: usize,
    found: Vec<Unreadable>,
    /// The key of the last row that was tried.
    last: Option<Uuid>,
    is_over: bool,
}

impl Search {
    /// Begins a search for at most `limit` rows.
    pub(crate) fn new(table: Table, limit: usize) -> Self {
        Self {
            table,
            limit,
            found: Vec::new(),
            last: None,
            is_over: false,
        }
    }

    /// Checks whether there may be rows to find after those that were tried.
    pub(crate) fn goes_on(&self) -> bool {
        !self.is_over
    }

    /// Returns the key after which the next page begins, or `None` if it is the first.
    pub(crate) fn after(&self) -> Option<Uuid> {
        self.last
    }

    /// Adds what was found in the next page.
    pub(crate) fn add(&mut self, rows: Vec<Tried>) {
        self.is_over = rows.len() < usize::try_from(ROWS).unwrap_or(usize::MAX);
        for row in rows {
            // Without its key, the page after it cannot be requested.
            self.is_over |= row.id.is_none();
            self.last = row.id;
            if let Some(refused) = row.refused {
                self.found.push(Unreadable {
                    table: self.table,
                    id: refused.id,
                    column: refused.column,
                    reason: refused.reason,
                });
            }
            if row.id.is_none() || self.found.len() >= self.limit {
                self.is_over = true;
                return;
            }
        }
    }

    pub(crate) fn into_found(self) -> Vec<Unreadable> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Undecodable;

    fn readable(id: u128) -> Tried {
        Tried {
            id: Some(Uuid::from_u128(id)),
            refused: None,
        }
    }

    fn refused(id: Option<u128>) -> Tried {
        let id = id.map(Uuid::from_u128);
        Tried {
            id,
            refused: Some(Undecodable {
                table: Some(Table::Users),
                id,
                column: None,
                reason: "unknown word".to_owned(),
            }),
        }
    }

    fn page(last: Tried) -> Vec<Tried> {
        let mut rows: Vec<_> = (1..100).map(readable).collect();
        rows.push(last);
        rows
    }

    #[test]
    fn a_search_ends_with_the_last_page() {
        let mut search = Search::new(Table::Users, 2);
        assert!(search.goes_on() && search.after().is_none());
        search.add(page(refused(Some(100))));
        assert!(search.goes_on());
        assert_eq!(search.after(), Some(Uuid::from_u128(100)));
        search.add(vec![readable(101)]);
        assert!(!search.goes_on());
        assert_eq!(search.into_found().len(), 1);
    }

    #[test]
    fn a_search_ends_at_its_limit_and_at_a_row_without_a_key() {
        let mut limited = Search::new(Table::Users, 1);
        limited.add(page(refused(Some(100))));
        assert!(!limited.goes_on());
        let mut nameless = Search::new(Table::Users, 5);
        nameless.add(page(refused(None)));
        assert!(!nameless.goes_on());
        assert_eq!(nameless.into_found()[0].id, None);
    }
}
