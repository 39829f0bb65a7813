//! Statements that take row locks.
//!
//! The server's default isolation may be stricter than `READ COMMITTED`. Then such a statement
//! fails with [`Error::Serialization`] if a row has changed since it began. Outside the caller's
//! transaction it is run again, in a `READ COMMITTED` transaction.

use super::*;
use crate::write_set::Touches;
use crate::{Error, Result};

/// Checks whether a statement on this executor is to be run again after this outcome.
pub(super) fn runs_again<T>(executor: &Executor<'_>, outcome: &Result<T>) -> bool {
    let runs_again =
        matches!(executor, Executor::Pool(_)) && matches!(outcome, Err(Error::Serialization));
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    if runs_again {
        crate::observation::statement_runs_again();
    }
    runs_again
}

/// Runs a statement of a table whose rows may be cached, and returns its only row, if there is one.
#[repository]
pub(super) async fn steady_first<Q, R>(
    executor: &Executor<'_>,
    statement: impl Fn() -> Q + Send,
) -> Result<Option<R>>
where
    Q: Loads<R>,
    R: Touches + Send,
{
    first_of_tries(executor, statement, 1).await
}

/// As [`steady_first`], for a statement that skips locked rows.
///
/// The server reports a failed statement before it releases the statement's locks. A statement that
/// is run again on another connection could skip the row for that reason. If it returns no row, it
/// is therefore tried again.
#[repository]
pub(super) async fn steady_first_unlocked<Q, R>(
    executor: &Executor<'_>,
    statement: impl Fn() -> Q + Send,
) -> Result<Option<R>>
where
    Q: Loads<R>,
    R: Touches + Send,
{
    first_of_tries(executor, statement, MOST_TRIES).await
}

/// Runs a statement. If it cannot be serialized, it is run again, at most `tries` times until it
/// returns a row.
#[repository]
async fn first_of_tries<Q, R>(
    executor: &Executor<'_>,
    statement: impl Fn() -> Q + Send,
    tries: usize,
) -> Result<Option<R>>
where
    Q: Loads<R>,
    R: Touches + Send,
{
    let write = Write::begin(executor).await?;
    let outcome = statement().load_first(&write.executor()).await;
    let mut outcome = write.finish(outcome).await;
    if runs_again(executor, &outcome) {
        for _ in 0..tries {
            let write = Write::begin_again(executor).await?;
            let again = statement().load_first(&write.executor()).await;
            outcome = write.finish(again).await;
            if !matches!(outcome, Ok(None)) {
                break;
            }
        }
    }
    outcome
}

/// Runs a statement of a table whose rows may be cached, and returns its rows.
#[repository]
pub(super) async fn steady_load<Q, R>(
    executor: &Executor<'_>,
    statement: impl Fn() -> Q + Send,
) -> Result<Vec<R>>
where
    Q: Loads<R>,
    R: Touches + Send,
{
    let write = Write::begin(executor).await?;
    let outcome = statement().load_all(&write.executor()).await;
    let outcome = write.finish(outcome).await;
    if !runs_again(executor, &outcome) {
        return outcome;
    }
    let write = Write::begin_again(executor).await?;
    let outcome = statement().load_all(&write.executor()).await;
    write.finish(outcome).await
}

/// Runs a statement of a table that is never cached, and returns its only row, if there is one.
#[repository]
pub(super) async fn steady_first_uncached<Q, R>(
    executor: &Executor<'_>,
    statement: impl Fn() -> Q + Send,
) -> Result<Option<R>>
where
    Q: Loads<R>,
    R: Send,
{
    let outcome = written_first(executor, statement()).await;
    if !runs_again(executor, &outcome) {
        return outcome;
    }
    let write = Write::begin_again(executor).await?;
    let outcome = statement().load_first(&write.executor()).await;
    write.end(outcome).await
}

/// Runs a statement that writes a table that is never cached, and returns its only row, if there is
/// one.
#[repository]
pub(super) async fn written_first<Q, R>(executor: &Executor<'_>, statement: Q) -> Result<Option<R>>
where
    Q: Loads<R>,
    R: Send,
{
    if executor.decodes_first() {
        let write = Write::begin_again(executor).await?;
        let outcome = statement.load_first(&write.executor()).await;
        return write.end(outcome).await;
    }
    statement.load_first(&executor.writing()).await
}

/// Runs a statement that writes a table that is never cached, and returns its rows.
#[cfg(feature = "crypto")]
#[repository]
pub(super) async fn written_load<Q, R>(executor: &Executor<'_>, statement: Q) -> Result<Vec<R>>
where
    Q: Loads<R>,
    R: Send,
{
    if executor.decodes_first() {
        let write = Write::begin_again(executor).await?;
        let outcome = statement.load_all(&write.executor()).await;
        return write.end(outcome).await;
    }
    statement.load_all(&executor.writing()).await
}
