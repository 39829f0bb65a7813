//! The access of users: from the entry of the user's standing and that of the project or
//! organization, as both were at one moment.
//!
//! Entries that were read one after the other could grant an access that never was: a user leaves
//! an organization, then one of its projects becomes internal, and the reader has seen the
//! membership before and the visibility after. One command returns both as they were when Redis
//! executed it. What the cache does not have at that moment is read from the database, by one
//! query.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::cache_io::boxed;
use super::protocol::batch::{Stored, all_at_one_moment};
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::*;
use crate::UserId;
use crate::cache::entry::Entry;
use crate::cache::keys::EntryKey;
use crate::models::access::Standing;
use crate::write_set::Key;

/// The cached part of what decides an access.
pub(super) enum AtOneMoment<R> {
    /// The standing of the user, and the rows in the order of their keys.
    All(Option<Standing>, Vec<Option<R>>),
    /// Some entries are not there.
    Missing,
    /// The cache cannot be asked.
    Unavailable,
}

#[repository]
impl Inside {
    /// Reads the entry of a user's standing and those of rows by one command.
    #[unboxed]
    pub(super) async fn at_one_moment<R>(&self, user_id: UserId, rows: &[Key]) -> AtOneMoment<R>
    where
        Option<R>: Entry,
    {
        let mut names = vec![EntryKey::from(&Key::Standing(user_id))];
        names.extend(rows.iter().map(EntryKey::from));
        let found = match all_at_one_moment(&self.client, &names).await {
            Ok(Some(found)) => found,
            Ok(None) => return AtOneMoment::Missing,
            Err(_) => return AtOneMoment::Unavailable,
        };
        match self.decoded(&found, &names) {
            Some((standing, rows)) => {
                let hits = found.len() as u64;
                self.client.counters.hits.fetch_add(hits, Ordering::Relaxed);
                AtOneMoment::All(standing, rows)
            }
            None => AtOneMoment::Missing,
        }
    }

    fn decoded<R>(
        &self,
        found: &[Stored],
        names: &[EntryKey],
    ) -> Option<(Option<Standing>, Vec<Option<R>>)>
    where
        Option<R>: Entry,
    {
        let mut entries = found.iter().zip(names);
        let (standing, name) = entries.next()?;
        let standing = standing.decoded(&self.client, name)?;
        let rows = entries.map(|(row, name)| row.decoded(&self.client, name));
        Some((standing, rows.collect::<Option<_>>()?))
    }

    /// Fills the entry of a user's standing.
    #[unboxed]
    pub(super) async fn fill_standing(&self, user_id: UserId) -> Result<()> {
        let name = EntryKey::from(&Key::Standing(user_id));
        if let Lookup::Miss(fill) = look_up::<Option<Standing>>(&self.client, name).await {
            boxed(settle(fill, self.users.standing(user_id).await)).await?;
        }
        Ok(())
    }
}

/// Returns the ids without those that are listed before.
pub(super) fn distinct<I: Copy + Eq + std::hash::Hash>(ids: &[I]) -> Vec<I> {
    let mut seen = HashMap::new();
    let first = ids.iter().filter(|&&id| seen.insert(id, ()).is_none());
    first.copied().collect()
}
