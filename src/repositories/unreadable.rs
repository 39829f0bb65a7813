//! Rows that this version of the crate cannot decode.

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::schema::{analysis, audit, public, setup};
use crate::sql::columns_of;
use crate::sql::unreadable::{ROWS, Search};
use crate::{Error, MAX_LIMIT, Result, Table, Unreadable};

#[repository]
impl Db {
    /// Lists rows of a table that this version of the crate cannot decode, by their keys, at most
    /// `limit` of them.
    ///
    /// This reads the whole table, 100 rows with each statement, until it has found `limit` rows.
    /// It is for an operator after an [`Error::Decode`] or a count in
    /// [`PoolState::unreadable`](crate::PoolState::unreadable). It neither counts nor logs these
    /// rows. A row whose key cannot be decoded is the last in the list.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100
    /// - [`Error::Other`] if the table or one of its columns does not exist
    pub async fn unreadable(&self, table: Table, limit: u32) -> Result<Vec<Unreadable>> {
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Error::invalid(
                "limit",
                format_args!("{limit} is not within 1 and {MAX_LIMIT}"),
            ));
        }
        let executor = self.executor();
        let mut search = Search::new(table, usize::try_from(limit).unwrap_or(usize::MAX));
        // The tables differ in the type of their query, so that there is one call for each.
        macro_rules! try_page {
            ($($schema:ident.$table:ident: $variant:ident, $row:ident, $new:ident, $id:ident, $secret:tt;)*) => {
                match table {
                    $(Table::$variant => {
                        let key = $schema::$table::id;
                        let rows = $schema::$table::table.select(columns_of::<crate::$row>());
                        let rows = rows.order(key).limit(ROWS).into_boxed();
                        executor.try_each::<_, crate::$row>(match search.after() {
                            Some(last) => rows.filter(key.gt(last)),
                            None => rows,
                        })
                    })*
                }
            };
        }
        while search.goes_on() {
            let rows = crate::__for_each_table!(try_page).await?;
            search.add(rows);
        }
        Ok(search.into_found())
    }
}
