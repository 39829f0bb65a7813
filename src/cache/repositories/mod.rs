//! The repositories behind the cache, written once and compiled for each engine like the
//! repositories themselves.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::*;
use super::{cache_io, protocol, uncached};
use crate::Result;
use crate::cache::entry::Entry;
use crate::cache::keys::EntryKey;
use crate::cache::{CacheConfig, CacheMetrics};
use crate::write_set::Key;

mod access;
mod analyses;
mod configurations;
mod organization_members;
mod organizations;
mod own_rows;
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
pub(crate) use own_rows::{OwnRow, keep_own};
pub use project_members::CachedProjectMembers;
pub use project_stats::AgingProjectStats;
pub use projects::CachedProjects;
pub use setup_profiles::CachedSetupProfiles;
pub use tools::CachedTools;
pub use trends::AgingTrends;
pub use user_sessions::CachedUserSessions;
pub use users::CachedUsers;

use protocol::batch::{Missing, look_up_all, settle_all};
use protocol::client::CacheClient;
use protocol::fences::FenceHook;

/// The rows of several ids, of which the cache has some.
struct Batch<'s, I, R> {
    client: &'s CacheClient,
    ids: &'s [I],
    found: Vec<Option<Option<R>>>,
    missing: Missing,
}

#[repository]
impl<'s, I: Copy + Sync, R> Batch<'s, I, R>
where
    Option<R>: Entry + Send,
{
    /// Reads the rows that are cached, with one command.
    #[unboxed]
    async fn look_up(client: &'s CacheClient, ids: &'s [I], key: fn(I) -> Key) -> Self {
        let keys: Vec<EntryKey> = ids.iter().map(|&id| EntryKey::from(&key(id))).collect();
        let (found, missing) = look_up_all(client, &keys).await;
        Self {
            client,
            ids,
            found,
            missing,
        }
    }

    /// Returns the ids whose rows are to be read from the database, if there are any.
    fn missing_ids(&self) -> Option<Vec<I>> {
        let ids = self.missing.indices.iter().map(|&index| self.ids[index]);
        (!self.missing.indices.is_empty()).then(|| ids.collect())
    }

    /// Adds the rows of the missing ids, which have their order, stores them in the cache, and
    /// returns all rows.
    #[unboxed]
    async fn fill(self, rows: Result<Vec<Option<R>>>) -> Result<Vec<Option<R>>> {
        let rows = rows.inspect_err(|error| self.client.on_database_error(error))?;
        let mut found = self.found;
        settle_all(self.client, self.missing, rows, &mut found).await;
        Ok(in_order(found))
    }

    /// Returns the rows in the order of the ids.
    fn into_rows(self) -> Vec<Option<R>> {
        in_order(self.found)
    }
}

fn in_order<R>(found: Vec<Option<Option<R>>>) -> Vec<Option<R>> {
    found.into_iter().map(Option::unwrap_or_default).collect()
}

/// A [`Db`] with a cache in front of the repositories that are read far more than written.
///
/// It is used like the [`Db`] in it, with the same repositories and transactions. Repositories that
/// are not cached are those of the `Db`. Inside a transaction all reads go to the database. See
/// [`cache`](crate::cache) for what is guaranteed.
#[derive(Clone)]
pub struct Cached(Arc<Inside>);

/// The state that a [`Cached`] and its repositories share.
struct Inside {
    db: Db,
    client: Arc<CacheClient>,
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

impl Inside {
    /// Returns the observer of the calls.
    fn observer(&self) -> &crate::observation::CallObserver {
        self.db.attachments.observer()
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cached")
            .field("db", &self.0.db)
            .field("settings", &self.0.client.settings)
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
    /// Creates a cache in front of a database. Redis is connected to on first use. While Redis
    /// cannot be reached, reads go to the database, and writes follow [`CacheConfig::unfenced`].
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if a setting is out of bounds, or if
    ///   `db` is [for one organization](Db::for_organization): others would find its rows in the
    ///   cache.
    pub fn new(db: Db, config: CacheConfig) -> Result<Self> {
        if db.attachments.organization().is_some() {
            let reason = "is for one organization; call for_organization on the cached one";
            return Err(crate::Error::invalid("db", reason));
        }
        let client = CacheClient::new(db.clone(), config)?;
        let mut db = db;
        db.attachments.hook = Some(Arc::new(FenceHook(Arc::clone(&client))));
        Ok(Self::with(db, client))
    }

    /// Creates the repositories of a database behind a cache that it has already.
    fn with(db: Db, client: Arc<CacheClient>) -> Self {
        Self(Arc::new(Inside {
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
            client,
        }))
    }

    /// Returns the same database, behind the same cache, for an actor: see [`Db::acting_as`].
    #[must_use]
    pub fn acting_as(&self, actor: crate::Actor) -> Self {
        Self::with(self.0.db.acting_as(actor), Arc::clone(&self.0.client))
    }

    /// Returns the counters of the cache.
    pub fn metrics(&self) -> CacheMetrics {
        self.0.client.counters.snapshot()
    }

    /// Returns the database. Its reads bypass the cache, and its writes are fenced.
    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// Invalidates everything that is cached of this database, in all processes. After this
    /// returns, no value is read that was cached before, and what is cached later was read from the
    /// database later.
    ///
    /// For use after a restored backup, or after changes of rows that did not go through this
    /// crate.
    ///
    /// # Errors
    /// After an error, some entries may still be read. The call can be repeated.
    ///
    /// - [`Error::Cache`](crate::Error::Cache) if a server of the cache could not be reached
    pub async fn forget_everything(&self) -> Result<()> {
        protocol::generation::forget_everything(&self.0.client).await
    }
}

macro_rules! behind_the_cache {
    (
        $($cached:ident: $cached_trait:ident as $cached_type:ident),*;
        $($name:ident: $repository:ident as $type:ident),*
    ) => {
        /// The repositories without a cached form. They are those of the database.
        impl Cached {
            $(
                #[doc = concat!("Returns the [`", stringify!($repository), "`], which is not cached.")]
                pub fn $name(&self) -> $type<'static> {
                    self.0.db.$name()
                }
            )*

            /// Returns what reads and writes the tables of an application, which are not cached.
            pub fn own_tables(&self) -> OwnTables<'static> {
                self.0.db.own_tables()
            }
        }

        impl Repositories for Cached {
            $(fn $cached(&self) -> Box<dyn $cached_trait + '_> {
                Box::new(Cached::$cached(self))
            })*

            $(fn $name(&self) -> Box<dyn $repository + '_> {
                Box::new(Cached::$name(self))
            })*

            fn ingest(&self, new: crate::NewAnalysis) -> Result<Ingest<'_>> {
                Ok(self.0.analyses.ingest(new))
            }

            fn own_tables(&self) -> Result<OwnTables<'_>> {
                Ok(Cached::own_tables(self))
            }
        }
    };
}
each_repository!(behind_the_cache!);
