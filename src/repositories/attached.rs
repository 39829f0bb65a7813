//! What a database, its transactions and its executors have besides a connection.

use std::fmt;
use std::sync::Arc;

use super::*;
use crate::models::health::PoolState;
use crate::sql::acting::Acting;
use crate::sql::settings::Settings;
use crate::write_set::Touches;
use crate::{Actor, Config, OrganizationId, Touched};

impl Db {
    /// Returns the same database for one organization.
    ///
    /// Where organizations are isolated (`migrations::isolate`) and the role is not the owner of
    /// the tables, every call of it and of its transactions sees and writes only rows of this
    /// organization. A row of another one is not found; to write one fails with [`Error::Other`]
    /// and the SQLSTATE 42501. A `Db` without an organization sees no rows at all. Without
    /// isolation it has no effect.
    ///
    /// The organization is set by the message that begins a transaction, or by a bind of a
    /// statement outside one, and ends with the transaction. So it does not reach the next user of
    /// the connection, also behind PgBouncer, and takes no round trip. Rows are not copied by
    /// `COPY`, which PostgreSQL does not support here.
    ///
    /// Behind a cache, reads do not use the cache and writes are fenced.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(db: wundr_db::Db, lab: wundr_db::OrganizationId) -> wundr_db::Result<()> {
    /// use wundr_db::ProjectFilter;
    /// use wundr_db::ProjectRepository;
    ///
    /// let projects_of_lab = db.for_organization(lab).projects().count(&ProjectFilter::new()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn for_organization(&self, id: OrganizationId) -> Self {
        Self {
            pool: Arc::clone(&self.pool),
            attachments: self.attachments.for_organization(id),
        }
    }

    /// Returns the same database with the keys of its secrets.
    ///
    /// The credentials and webhook secrets of integrations, and the values of encrypted settings,
    /// are then sealed when they are written and opened when they are read, with
    /// XChaCha20-Poly1305. A secret is bound to its table, column, row and owner: moved to another
    /// one, it does not open. Secrets that were stored in the clear are read, and are sealed when
    /// they are written next.
    ///
    /// Without keys, secrets of integrations are stored in the clear, an encrypted setting is
    /// refused, and sealed values are [`Protected::Sealed`](crate::Protected::Sealed). With a
    /// cache, only sealed values are in it.
    #[cfg(feature = "crypto")]
    #[must_use]
    pub fn with_secrets(&self, keys: impl crate::KeyProvider + 'static) -> Self {
        Self {
            pool: Arc::clone(&self.pool),
            attachments: self.attachments.with_secrets(keys),
        }
    }

    #[cfg(feature = "crypto")]
    pub(crate) fn secrets(&self) -> Option<&dyn crate::KeyProvider> {
        self.attachments.secrets()
    }

    /// Returns the same database for an actor: the user and the request on whose behalf it is used.
    ///
    /// The changes of watched tables are recorded in the audit log by triggers, for every client of
    /// the database. The entries of changes that this `Db` and its transactions make have the
    /// actor, its address and its request. They are written in the transaction of the change, so
    /// that neither is stored without the other. `wundr_db::audit::watch` selects the tables and
    /// the columns whose values are recorded; before that, nothing is.
    ///
    /// The actor is set by the message that begins a transaction, or by a bind of a write outside
    /// one, and takes no round trip. Reads are not affected. In a transaction at `REPEATABLE READ`
    /// or `SERIALIZABLE`, the snapshot is taken when it begins.
    ///
    /// The actor ends with the transaction: it does not reach the next user of the connection, also
    /// behind PgBouncer.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(db: wundr_db::Db, admin: wundr_db::UserId, id: wundr_db::UserId) -> wundr_db::Result<()> {
    /// use wundr_db::{Actor, UserChanges, UserRepository, uuid};
    ///
    /// let acting = db.acting_as(Actor {
    ///     user: Some(admin),
    ///     request: Some(uuid::Uuid::now_v7()),
    ///     ..Actor::default()
    /// });
    /// acting.users().update(id, UserChanges::new().name("Grace")).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Self {
        Self {
            attachments: self.attachments.acting_as(actor),
            ..self.clone()
        }
    }

    /// Returns the same database for statements that write.
    pub(crate) fn writing(&self) -> Self {
        Self {
            pool: Arc::clone(&self.pool),
            attachments: self.attachments.writing(),
        }
    }

    /// Returns the actor of the writes.
    pub(crate) fn acting(&self) -> Option<&Acting> {
        self.attachments.acting()
    }

    /// Returns the settings.
    pub fn config(&self) -> &Config {
        &self.context().config
    }

    /// Returns the state of the pool, without asking the server.
    pub fn pool(&self) -> PoolState {
        self.context().state()
    }

    /// Checks whether the writes of this clone are fenced in a cache.
    pub(crate) fn has_cache(&self) -> bool {
        self.attachments.has_cache()
    }

    /// Checks whether the pool has found a row that cannot be decoded.
    pub(crate) fn has_unreadable(&self) -> bool {
        self.context().usage.has_unreadable()
    }

    pub(crate) fn executor(&self) -> Executor<'static> {
        Executor::Pool(self.clone())
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Db")
            .field("config", self.config())
            .field("pool", &self.pool())
            .finish()
    }
}

impl Tx {
    /// Returns the actor of the writes.
    pub(crate) fn acting(&self) -> Option<&Acting> {
        self.attachments.acting()
    }

    /// Checks whether the write set is recorded.
    pub(crate) fn records_writes(&self) -> bool {
        self.state.records_writes()
    }

    /// Returns the keys of the database's secrets.
    #[cfg(feature = "crypto")]
    pub(crate) fn secrets(&self) -> Option<&dyn crate::KeyProvider> {
        self.attachments.secrets()
    }

    /// Adds the cache entries that a write makes old to the write set.
    pub(crate) fn record_write(&self, written: &(impl Touches + ?Sized)) {
        self.state.record_write(written);
    }

    /// Names what the caller's own statements of this transaction change of the rows that a cache
    /// holds. Without a cache it has no effect.
    ///
    /// Own statements are those on [`connection_mut`](Self::connection_mut). Without a call of
    /// this method, the tables that the transaction has written are found before the commit, those
    /// of triggers and cascades among them. If one of them has cached rows, everything that is
    /// cached becomes invalid, in every process.
    ///
    /// With a call, only the named rows become invalid, and those that repositories wrote in the
    /// transaction. It may be called before or after the statements, and several times. The calls
    /// of a transaction must name all cached rows that its own statements change: a row that is
    /// missing is read as it was until its entry expires. If a table was written of which no row
    /// is named, everything becomes invalid, as without a call.
    /// [`Touched::NOTHING`](crate::Touched::NOTHING) states that the own statements change no
    /// cached rows.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(db: wundr_db::Cached, id: wundr_db::UserId) -> wundr_db::Result<()> {
    /// use wundr_db::Touched;
    /// use wundr_db::diesel::prelude::*;
    /// use wundr_db::diesel_async::RunQueryDsl;
    /// use wundr_db::schema::public::users;
    ///
    /// db.transaction(async |tx| -> wundr_db::Result<_> {
    ///     tx.touches([Touched::User(id)]);
    ///     let renamed = diesel::update(users::table.find(id)).set(users::name.eq("Ada"));
    ///     Ok(renamed.execute(tx.connection_mut()).await?)
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn touches(&self, touched: impl IntoIterator<Item = impl Into<Touched>>) {
        if self.records_writes() {
            self.state.name_own_writes();
            for touched in touched {
                self.record_write(&touched.into());
            }
        }
    }
}

impl<'a> Executor<'a> {
    /// Returns the observer of the calls.
    pub(crate) fn observer(&self) -> &crate::observation::CallObserver {
        match self {
            Executor::Pool(db) => db.attachments.observer(),
            Executor::Tx(tx) | Executor::Part(tx) => tx.attachments.observer(),
        }
    }

    /// Returns the organization whose rows are seen.
    pub(crate) fn organization(&self) -> Option<OrganizationId> {
        match self {
            Executor::Pool(db) => db.attachments.organization(),
            Executor::Tx(tx) | Executor::Part(tx) => tx.attachments.organization(),
        }
    }

    /// Returns the settings that a statement makes. A transaction has made them when it began.
    pub(crate) fn settings(&self, writes: bool) -> Option<Settings<'_>> {
        match self {
            Executor::Pool(db) => db.attachments.settings(writes),
            Executor::Tx(_) | Executor::Part(_) => None,
        }
    }

    /// Returns the executor for statements that write: on behalf of the actor, whatever call runs
    /// them.
    pub(crate) fn writing(&self) -> Self {
        match self {
            Executor::Pool(db) if db.acting().is_some() => Executor::Pool(db.writing()),
            executor => executor.clone(),
        }
    }

    pub(crate) fn tx(&self) -> Option<&'a Tx> {
        match *self {
            Executor::Pool(_) => None,
            Executor::Tx(tx) | Executor::Part(tx) => Some(tx),
        }
    }

    /// Returns the actor of the writes.
    pub(crate) fn acting(&self) -> Option<&Acting> {
        match self {
            Executor::Pool(db) => db.acting(),
            Executor::Tx(tx) | Executor::Part(tx) => tx.acting(),
        }
    }

    /// Checks whether a write is to decode its row before the commit, in a transaction of its own:
    /// a row was found that cannot be decoded.
    pub(crate) fn decodes_first(&self) -> bool {
        matches!(self, Executor::Pool(db) if db.has_unreadable())
    }
}
