//! The export of what is stored of a user.

use diesel::sql_query;

use super::super::Executor;
use super::{Db, Output, repository};
use crate::sql::admin::digests::PIN;
use crate::sql::admin::export::{CLOSE, EXPORTS, FETCH, Line, ROWS_AT_ONCE};
use crate::sql::exists_by_id;
use crate::sql::partitions::Number;
use crate::transaction::TransactionOptions;
use crate::{Error, Result, User, UserId};

/// Writes all that is stored of a user, as one JSON document in each line, and returns the number
/// of lines.
///
/// A line has the `table`, the column `by` which the row was found, and the `row`. Rows that are
/// about the user are whole. Of rows that others use as well, and in which the user is named as
/// their creator, the line has the key, the name and the time. Secrets are not exported: hashes of
/// tokens. Nor are the other persons in a row. [`personal_columns`](super::personal_columns) lists
/// the columns; documents of the application are exported where they are part of a whole row.
///
/// The lines are of one moment: they are read in one transaction, table by table, up to 100 rows at
/// once. It has a connection of its own without time limits for statements. Months of the logs that
/// were detached or archived are not reached.
///
/// Needs `SELECT` on the tables, as [`Rights::Application`](crate::migrations::Rights::Application)
/// has it. Where organizations are isolated, needs the owner of the tables.
///
/// # Errors
/// - [`Error::NotFound`] if there is no such user
/// - [`Error::InvalidInput`] if the output fails. The lines before are written.
/// - [`Error::Other`] with SQLSTATE 42501 if row-level security would hide rows from the role. The
///   lines before are written.
///
/// # Cancel safety
/// If the future is dropped, the lines that were written stay, and the transaction ends.
///
/// # Examples
/// ```no_run
/// # async fn example(db: wundr_db::Db, user: wundr_db::UserId) -> wundr_db::Result<()> {
/// use wundr_db::admin::{self, Output};
///
/// let mut lines = Vec::new();
/// let number = admin::export_user(&db, user, Output::immediate(&mut lines)).await?;
/// # Ok(())
/// # }
/// ```
#[repository]
pub async fn export_user(db: &Db, user: UserId, mut output: Output<'_>) -> Result<u64> {
    let patient = super::patient(db)?;
    let tx = patient.begin(&TransactionOptions::of_a_snapshot()).await?;
    let outcome = write(&tx.executor(), user, &mut output).await;
    // Nothing was written that would have to be committed.
    tx.rollback().await;
    let number = outcome?;
    output.close().await?;
    Ok(number)
}

#[repository]
async fn write(executor: &Executor<'_>, user: UserId, output: &mut Output<'_>) -> Result<u64> {
    let _: Number = executor.one(sql_query(PIN)).await?;
    if !executor.one(exists_by_id::<User>(user)).await? {
        return Err(Error::NotFound { what: "User" });
    }
    let mut number = 0;
    for export in EXPORTS {
        executor.execute(sql_query(export.open(user))).await?;
        loop {
            let lines: Vec<Line> = executor.load(sql_query(FETCH)).await?;
            let mut text = String::new();
            for Line { line } in &lines {
                text.push_str(line);
                text.push('\n');
            }
            output.write(text.as_bytes()).await?;
            number += lines.len() as u64;
            if lines.len() < ROWS_AT_ONCE {
                break;
            }
        }
        executor.execute(sql_query(CLOSE)).await?;
    }
    Ok(number)
}
