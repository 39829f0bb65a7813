//! The identity of the database: which cluster, which database in it, and on which timeline.

use std::time::Instant;

use super::client::{CacheClient, Database};
use super::unavailable::Unusable;
use super::{Db, Executor, repository};
use crate::sql::cache as question;
use crate::sql::prepared;

/// Returns the identity of the database. It is read once, and again after connections were lost.
#[repository]
pub(crate) async fn database(
    store: &CacheClient,
    own: &Executor<'_>,
) -> Result<Database, Unusable> {
    if let Some(database) = store.database() {
        return Ok(database);
    }
    let losses = store.lineage.losses();
    let database = ask(store, own).await?;
    // The question itself may have opened the first connection after a loss; the next reader asks once more then.
    store.lineage.is_settled(losses);
    store.set_database(Some(database.clone()));
    store.lineage.is_known(&database.timeline);
    Ok(database)
}

/// Asks which database it is, and what its clock says.
#[repository]
pub(crate) async fn ask(store: &CacheClient, own: &Executor<'_>) -> Result<Database, Unusable> {
    let began = Instant::now();
    let identity = prepared(diesel::sql_query(question::IDENTITY));
    let identity: question::Identity = own.one(identity).await?;
    // The clock was read at some moment of this time. Taken for the first moment, it is never behind: what has ended by
    // the database's clock has ended here, even if the response was late.
    let since = chrono::TimeDelta::from_std(began.elapsed()).unwrap_or_default();
    let now = identity.now.checked_add_signed(since);
    store.set_clock(now.unwrap_or(identity.now));
    let cluster = if identity.tells_cluster {
        let cluster = prepared(diesel::sql_query(question::CLUSTER));
        let cluster: question::Cluster = own.one(cluster).await?;
        cluster.id
    } else {
        store.log_once.unnamed_cluster();
        String::new()
    };
    Ok(Database {
        name: crate::cache::keys::digest(&format!("{cluster}:{}", identity.database)).into(),
        timeline: identity.timeline.into(),
    })
}

/// Checks, on a connection of its own, whether the database has been on this lower timeline long enough to have been
/// restored.
#[repository]
pub(crate) async fn is_restored(store: &CacheClient, database: &Database) -> bool {
    let (is_allowed, is_long_enough) = store.lineage.state_of(&database.timeline);
    if is_allowed {
        return true;
    }
    if !is_long_enough {
        return false;
    }
    // None of the pool's: one that leads to a server that was taken over from would say the same for ever.
    let config = store.db.config().clone().max_connections(1).min_idle(0);
    let Ok(fresh) = Db::lazy(config) else {
        return false;
    };
    let found = ask(store, &fresh.executor()).await;
    let is_same =
        found.is_ok_and(|found| found.name == database.name && found.timeline == database.timeline);
    if is_same {
        store.lineage.allow(&database.timeline);
    }
    is_same
}
