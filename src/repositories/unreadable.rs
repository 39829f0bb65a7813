//! Rows that this version of the crate cannot decode.

use diesel::prelude::{ExpressionMethods, QueryDsl, SelectableHelper};
use uuid::Uuid;

use super::*;
use crate::schema::{analysis, audit, public, setup};
use crate::{Error, MAX_LIMIT, Result, Table, Unreadable};

/// The number of rows that one statement reads.
const ROWS: i64 = 100;

/// Tries all rows of a table, in the order of their keys.
#[repository]
macro_rules! unreadable_in {
    ($executor:ident, $found:ident, $limit:ident, $variant:ident, $schema:ident.$table:ident, $row:ident) => {{
        let mut last: Option<Uuid> = None;
        loop {
            let mut query = $schema::$table::table
                .select(crate::$row::as_select())
                .order($schema::$table::id)
                .limit(ROWS)
                .into_boxed();
            if let Some(last) = last {
                query = query.filter($schema::$table::id.gt(last));
            }
            let rows = $executor.try_each::<_, crate::$row>(query).await?;
            let is_last = rows.len() < 100;
            for row in rows {
                // Without its key the next page cannot be requested.
                let is_nameless = row.id.is_none();
                last = row.id;
                if let Some(refused) = row.refused {
                    $found.push(Unreadable {
                        table: Table::$variant,
                        id: refused.id,
                        column: refused.column,
                        reason: refused.reason,
                    });
                }
                if is_nameless || $found.len() >= $limit {
                    return Ok($found);
                }
            }
            if is_last {
                return Ok($found);
            }
        }
    }};
}

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
        let (executor, limit) = (
            self.executor(),
            usize::try_from(limit).unwrap_or(usize::MAX),
        );
        let mut found = Vec::new();
        macro_rules! tables {
            ($($schema:ident.$table:ident: $variant:ident, $row:ident, $new:ident, $id:ident, $secret:tt;)*) => {
                match table {
                    $(Table::$variant => unreadable_in!(executor, found, limit, $variant, $schema.$table, $row),)*
                }
            };
        }
        crate::__for_each_table!(tables)
    }
}
