//! The identity of the database: which cluster, which database in it, and on which timeline.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::client::{CacheClient, Database};
use super::unavailable::Unavailable;
use super::{Db, Executor, repository};
use crate::sql::Sql;
use crate::sql::cache::{ClusterIdentity, DatabaseIdentity};

/// Returns the identity of the database. It is read once, and again after connections were lost.
#[repository]
pub(crate) async fn database(
    client: &CacheClient,
    own: &Executor<'_>,
) -> Result<Database, Unavailable> {
    if let Some(database) = client.database() {
        return Ok(database);
    }
    let losses = client.lineage.losses();
    let database = read_identity(client, own).await?;
    // The query itself may have opened the first connection after a loss. The next reader then
    // reads the identity again.
    client.lineage.record_losses(losses);
    client.set_database(Some(database.clone()));
    client.lineage.record_timeline(&database.timeline);
    Ok(database)
}

/// Reads the identity of the database, and sets the clock.
#[repository]
pub(crate) async fn read_identity(
    client: &CacheClient,
    own: &Executor<'_>,
) -> Result<Database, Unavailable> {
    let began = Instant::now();
    let identity: (String, String, DateTime<Utc>, bool) = own.one(Sql(DatabaseIdentity)).await?;
    let (name, timeline, clock, may_read_cluster) = identity;
    // The clock was read at some moment of this time. Taken for the first moment, it is never
    // behind: what has ended by the database's clock has ended here, even if the response was late.
    let since = chrono::TimeDelta::from_std(began.elapsed()).unwrap_or_default();
    client.set_clock(clock.checked_add_signed(since).unwrap_or(clock), since);
    let cluster: String = if may_read_cluster {
        own.one(Sql(ClusterIdentity)).await?
    } else {
        client.log_once.unnamed_cluster();
        String::new()
    };
    Ok(Database {
        name: crate::cache::keys::digest(&format!("{cluster}:{name}")).into(),
        timeline: timeline.into(),
    })
}

/// Checks, on a connection of its own, whether the database has been on this earlier timeline long
/// enough to have been restored.
#[repository]
pub(crate) async fn is_restored(client: &CacheClient, database: &Database) -> bool {
    let (is_allowed, is_long_enough) = client.lineage.state_of(&database.timeline);
    if is_allowed {
        return true;
    }
    if !is_long_enough {
        return false;
    }
    // Not a connection of the pool, which may lead to the former primary.
    let config = client.db.config().clone().max_connections(1).min_idle(0);
    let Ok(fresh) = Db::lazy(config) else {
        return false;
    };
    let found = read_identity(client, &fresh.executor()).await;
    let is_same =
        found.is_ok_and(|found| found.name == database.name && found.timeline == database.timeline);
    if is_same {
        client.lineage.allow(&database.timeline);
    }
    is_same
}
