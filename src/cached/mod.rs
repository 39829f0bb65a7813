//! The repositories behind the cache, written once and compiled for each engine like the repositories themselves.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::*;
use super::{flights, link};
use crate::Result;
use crate::cache::{CacheConfig, CacheMetrics};

/// Answers from the cache, or from the database, and then the entry is filled.
#[repository]
macro_rules! cached {
    ($self:ident, $name:expr, $load:expr) => {
        match look_up(&$self.0.store, $name).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => super::link::boxed(settle(fill, $load.await)).await,
        }
    };
}

/// Answers for each id, in their order: what is cached by one command, the others by one query.
#[repository]
macro_rules! cached_many {
    ($self:ident, $ids:expr, $key:expr, $repository:ident) => {{
        let names: Vec<Name> = $ids.iter().map(|&id| Name::from(&$key(id))).collect();
        let (mut found, missing) = look_up_all(&$self.0.store, &names).await;
        if !missing.indices.is_empty() {
            let ids: Vec<_> = missing.indices.iter().map(|&index| $ids[index]).collect();
            let rows = $self.0.$repository.find_many(&ids).await;
            let rows = rows.inspect_err(|error| $self.0.store.doubt(error))?;
            settle_all(&$self.0.store, missing, rows, &mut found).await;
        }
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }};
}

/// Checks whether a fault is injected. Without the feature `cache-faults` that is `false`.
#[cfg(feature = "cache-faults")]
macro_rules! injects {
    ($store:expr, $fault:ident) => {
        $store.settings.injected_fault == Some(crate::cache::InjectedFault::$fault)
    };
}
#[cfg(not(feature = "cache-faults"))]
macro_rules! injects {
    ($store:expr, $fault:ident) => {
        no_fault($store)
    };
}

#[cfg(not(feature = "cache-faults"))]
const fn no_fault(_: &Store) -> bool {
    false
}

mod analyses;
mod configurations;
pub(crate) mod fences;
mod generations;
mod leases;
pub(crate) mod lineage;
mod many;
mod organization_members;
mod organizations;
mod project_members;
mod project_stats;
mod projects;
mod servers;
mod setup_profiles;
pub(crate) mod store;
mod tools;
mod topology;
mod trends;
mod unique;
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

use store::Store;

/// A [`Db`] with a cache in front of the repositories that are read far more than written.
///
/// It is used like the [`Db`] in it, and gives the same repositories and the same transactions; what it does not cache
/// is the `Db`'s own. Inside a transaction everything is read from the database. See [`cache`](crate::cache) for
/// what is guaranteed.
#[derive(Clone)]
pub struct Cached(Arc<Inside>);

/// What a [`Cached`] and its repositories share: one pointer is passed on with each call.
struct Inside {
    db: Db,
    store: Arc<Store>,
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
    /// Puts a cache in front of a database, which is reached when it is needed first. As long as it is not, reads go to
    /// the database, and writes do what [`CacheConfig::unfenced`] says.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if the settings are wrong.
    pub fn new(db: Db, config: CacheConfig) -> Result<Self> {
        let store = Store::new(db.clone(), config)?;
        let db = db.behind(Arc::clone(&store));
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

    /// What the cache has done so far.
    pub fn metrics(&self) -> CacheMetrics {
        self.0.store.counters.snapshot()
    }

    /// The database, whose reads go past the cache. Its writes are fenced like those of this.
    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// Makes everything old that is cached of this database, in all processes: from the moment that this returns, what
    /// was cached before is not read any more. What is cached from then on was read from the database after.
    ///
    /// For an operator who has restored a backup, or has changed rows past this crate.
    ///
    /// # Errors
    /// [`Error::Cache`](crate::Error::Cache) if a server could not be reached, and [`Error::Connection`](crate::Error::Connection)
    /// and its like of the database: then some of it may still be read. It can be called again.
    pub async fn forget_everything(&self) -> Result<()> {
        generations::forget_everything(&self.0.store).await
    }
}
