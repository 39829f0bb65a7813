//! The repositories behind the cache, written once and compiled for each engine like the repositories themselves.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::*;
use super::{cache_io, protocol, repositories};
use crate::Result;
use crate::cache::{CacheConfig, CacheMetrics};

/// Returns a value from the cache, or else from the database, and fills the entry.
#[repository]
macro_rules! cached {
    ($self:ident, $name:expr, $load:expr) => {
        match look_up(&$self.0.store, $name).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => super::cache_io::boxed(settle(fill, $load.await)).await,
        }
    };
}

/// Returns the rows of ids, in their order. One command reads those that are cached, and one query the others.
#[repository]
macro_rules! cached_many {
    ($self:ident, $ids:expr, $key:expr, $repository:ident) => {{
        let names: Vec<EntryKey> = $ids.iter().map(|&id| EntryKey::from(&$key(id))).collect();
        let (mut found, missing) = look_up_all(&$self.0.store, &names).await;
        if !missing.indices.is_empty() {
            let ids: Vec<_> = missing.indices.iter().map(|&index| $ids[index]).collect();
            let rows = $self.0.$repository.find_many(&ids).await;
            let rows = rows.inspect_err(|error| $self.0.store.on_database_error(error))?;
            settle_all(&$self.0.store, missing, rows, &mut found).await;
        }
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }};
}

mod analyses;
mod configurations;
mod organization_members;
mod organizations;
mod project_members;
mod project_stats;
mod projects;
#[cfg(feature = "crypto")]
mod sessions;
mod setup_profiles;
mod tools;
mod trends;
mod user_sessions;
mod users;

pub use analyses::CachedAnalyses;
pub use configurations::CachedConfigurations;
pub use organization_members::CachedOrganizationMembers;
pub use organizations::CachedOrganizations;
pub use project_members::CachedProjectMembers;
pub use project_stats::AgingProjectStats;
pub use projects::CachedProjects;
pub use setup_profiles::CachedSetupProfiles;
pub use tools::CachedTools;
pub use trends::AgingTrends;
pub use user_sessions::CachedUserSessions;
pub use users::CachedUsers;

use protocol::client::CacheClient;
use protocol::fences::FenceHook;

/// A [`Db`] with a cache in front of the repositories that are read far more than written.
///
/// It is used like the [`Db`] in it, with the same repositories and transactions. Repositories that are not cached are those
/// of the `Db`. Inside a transaction all reads go to the database. See [`cache`](crate::cache) for
/// what is guaranteed.
#[derive(Clone)]
pub struct Cached(Arc<Inside>);

/// The state that a [`Cached`] and its repositories share.
struct Inside {
    db: Db,
    store: Arc<CacheClient>,
    analyses: Analyses<'static>,
    configurations: Configurations<'static>,
    organization_members: OrganizationMembers<'static>,
    organizations: Organizations<'static>,
    project_members: ProjectMembers<'static>,
    project_stats: ProjectStatsView<'static>,
    projects: Projects<'static>,
    setup_profiles: SetupProfiles<'static>,
    tools: Tools<'static>,
    trends: Trends<'static>,
    user_sessions: UserSessions<'static>,
    users: Users<'static>,
}

impl fmt::Debug for Cached {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cached")
            .field("db", &self.0.db)
            .field("settings", &self.0.store.settings)
            .finish_non_exhaustive()
    }
}

impl Deref for Cached {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.0.db
    }
}

#[repository]
impl Cached {
    /// Creates a cache in front of a database. Redis is connected to on first use. While Redis cannot be reached, reads go to
    /// the database, and writes follow [`CacheConfig::unfenced`].
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if a setting is out of bounds.
    pub fn new(db: Db, config: CacheConfig) -> Result<Self> {
        let store = CacheClient::new(db.clone(), config)?;
        let mut db = db;
        db.hook = Some(Arc::new(FenceHook(Arc::clone(&store))));
        Ok(Self(Arc::new(Inside {
            analyses: db.analyses(),
            configurations: db.configurations(),
            organization_members: db.organization_members(),
            organizations: db.organizations(),
            project_members: db.project_members(),
            project_stats: db.project_stats(),
            projects: db.projects(),
            setup_profiles: db.setup_profiles(),
            tools: db.tools(),
            trends: db.trends(),
            user_sessions: db.user_sessions(),
            users: db.users(),
            db,
            store,
        })))
    }

    /// Returns the counters of the cache.
    pub fn metrics(&self) -> CacheMetrics {
        self.0.store.counters.snapshot()
    }

    /// Returns the database. Its reads bypass the cache, and its writes are fenced.
    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// Invalidates everything that is cached of this database, in all processes. After this returns, no value is read that
    /// was cached before, and what is cached later was read from the database later.
    ///
    /// For use after a restored backup, or after changes of rows that did not go through this crate.
    ///
    /// # Errors
    /// [`Error::Cache`](crate::Error::Cache) if a server could not be reached, and [`Error::Connection`](crate::Error::Connection)
    /// and its like of the database: then some of it may still be read. It can be called again.
    pub async fn forget_everything(&self) -> Result<()> {
        protocol::generation::forget_everything(&self.0.store).await
    }
}
