//! The removal of members of organizations and projects.

use diesel::pg::Pg;
use diesel::query_builder::{QueryFragment, QueryId};

use super::*;
use crate::Result;
use crate::mapping::Membership;
use crate::models::partitions::unsigned;
use crate::sql::{RemoveMembers, Removed, remove_members as statement};
use crate::write_set::Touches;

/// Removes the members that `members` selects, all or none, and returns their number. `touched` is
/// the cache entries that then become stale.
///
/// # Errors
/// - [`Error::Check`] if a parent would be left without an owner
#[repository]
pub(super) async fn remove_members<M, Q, T>(
    executor: &Executor<'_>,
    members: impl Fn() -> Q + Send,
    touched: T,
) -> Result<u64>
where
    M: Membership,
    Q: QueryFragment<Pg> + QueryId + Send,
    T: Touches + Send + Sync,
    RemoveMembers<M, Q>: Send,
{
    let touched = |removed: &Removed| (removed.2 > 0).then_some(&touched);
    let write = Write::begin(executor).await?;
    let outcome: Result<Removed> = write.executor().one(statement::<M, Q>(members())).await;
    let mut outcome = write.finish_touching(outcome, touched).await;
    if runs_again(executor, &outcome) {
        let write = Write::begin_again(executor).await?;
        let again: Result<Removed> = write.executor().one(statement::<M, Q>(members())).await;
        outcome = write.finish_touching(again, touched).await;
    }
    let (_, ownerless, removed) = outcome?;
    if ownerless > 0 {
        return Err(M::last_owner());
    }
    Ok(unsigned(removed))
}
