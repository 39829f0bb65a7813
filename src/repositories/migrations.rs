//! The functions that run migrations, written once for both engines.

use std::sync::Arc;
use std::time::Instant;

use super::super::migrations::{open, pause, watching};
use diesel::migration::MigrationSource;
use diesel::pg::Pg;

use super::repository;
use crate::migrations::{
    Before, END_ISOLATION, FAILOVER, HowFar, ISOLATE, LOCK_LIMIT, MigrationStatus, Plan,
    RETRY_PAUSE, Rights, apply, execute, list, may_start_again, revert, rights, take_over,
};
use crate::{Config, Result};

/// Runs this crate's migrations and an application's own under one lock, with one table of applied
/// migrations.
///
/// A process that migrates makes all others wait, whichever migrations they bring. The table is
/// `public.__diesel_schema_migrations`; a version may be used once in it. Migrations of one source
/// are applied in the order of their versions.
///
/// An application's migration runs with `search_path = pg_catalog, pg_temp` and without time
/// limits, as this crate's do: it qualifies every name with its schema.
///
/// # Examples
/// ```no_run
/// # #[cfg(feature = "migrations")]
/// # async fn example(config: wundr_db::Config) -> wundr_db::Result<()> {
/// use wundr_db::diesel_migrations::EmbeddedMigrations;
/// use wundr_db::migrations::Runner;
///
/// // By `diesel_migrations::embed_migrations!("migrations")`.
/// # const OWN: EmbeddedMigrations = EmbeddedMigrations::new(&[]);
/// let applied = Runner::new(&config).and(OWN).up().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Runner {
    config: Config,
    plan: Plan,
}

#[repository]
impl Runner {
    /// Creates a runner of this crate's migrations.
    pub fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            plan: Plan::new(config),
        }
    }

    /// Adds an application's migrations, which are applied after this crate's and after those that
    /// were added before. They are reverted first.
    pub fn and(mut self, migrations: impl MigrationSource<Pg> + Send + Sync + 'static) -> Self {
        self.plan.add_after(migrations);
        self
    }

    /// Adds an application's migrations, which are applied before this crate's and are reverted
    /// last.
    pub fn and_before(
        mut self,
        migrations: impl MigrationSource<Pg> + Send + Sync + 'static,
    ) -> Self {
        self.plan.add_before(migrations);
        self
    }

    /// Applies the migrations that the database does not have yet, and returns their names.
    ///
    /// If the connection is lost or leads to a read-only server, it starts again for up to 60 s.
    ///
    /// # Errors
    /// - [`Error::Migration`](crate::Error::Migration) if a migration fails. The error names it;
    ///   the migrations before it stay applied. The failed one leaves nothing behind, unless it
    ///   does not run in a transaction.
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if two migrations have the same
    ///   version, and as [`up`]. Nothing was applied then.
    /// - [`Error::Connection`](crate::Error::Connection) as [`up`].
    #[unboxed]
    pub async fn up(&self) -> Result<Vec<String>> {
        let before = Arc::new(Before::default());
        let deadline = Instant::now() + FAILOVER;
        let mut connection = open(&self.config).await?;
        loop {
            let (shared, plan) = (Arc::clone(&before), self.plan.clone());
            let applied = watching(connection, move |connection, watch| {
                apply(connection, watch, &plan, &shared)
            })
            .await;
            match applied {
                Err(error) if may_start_again(&error) && Instant::now() < deadline => {}
                outcome => return outcome,
            }
            connection = loop {
                pause(RETRY_PAUSE).await;
                match open(&self.config).await {
                    Err(error) if may_start_again(&error) && Instant::now() < deadline => {}
                    outcome => break outcome?,
                }
            };
        }
    }

    /// Reverts all migrations, the newest first, and returns their names.
    ///
    /// All data of this crate and of the application's migrations is deleted. Before the first
    /// migration is reverted, this checks that the way back leads to its end: it reverts the
    /// application's migrations on trial, in a transaction that is rolled back. If one of these
    /// does not run in a transaction, the check follows when they have been reverted.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if an object that is not this crate's
    ///   depends on one that is: a foreign key, a view, a function, a column of an enum's type, or
    ///   an object in one of its schemas. The error names them. Nothing was reverted then.
    /// - [`Error::Migration`](crate::Error::Migration) if a migration fails. The error names it.
    /// - As [`up`](Self::up) otherwise. It does not start again.
    #[unboxed]
    pub async fn down(&self) -> Result<Vec<String>> {
        self.revert(HowFar::All).await
    }

    /// Reverts the newest applied migration and returns its name. An application's migration that
    /// was added by [`and`](Self::and) is newer than this crate's.
    ///
    /// A migration of this crate is reverted only if no object of others depends on what it drops,
    /// also where the migration drops it with all that depends on it.
    ///
    /// # Errors
    /// The same as [`down`](Self::down). [`Error::InvalidInput`](crate::Error::InvalidInput) names
    /// the objects that depend on what this migration drops. Nothing was reverted then.
    #[unboxed]
    pub async fn down_by_one(&self) -> Result<Option<String>> {
        Ok(self.revert(HowFar::One).await?.pop())
    }

    #[unboxed]
    async fn revert(&self, how_far: HowFar) -> Result<Vec<String>> {
        let (connection, plan) = (open(&self.config).await?, self.plan.clone());
        watching(connection, move |connection, watch| {
            revert(connection, watch, &plan, how_far)
        })
        .await
    }

    /// Returns every migration in the order in which they are applied, with its state in the
    /// database.
    ///
    /// # Errors
    /// The same as [`up`](Self::up), except for the errors of writes.
    #[unboxed]
    pub async fn status(&self) -> Result<Vec<MigrationStatus>> {
        let (connection, plan) = (open(&self.config).await?, self.plan.clone());
        watching(connection, move |connection, watch| {
            list(connection, watch, &plan)
        })
        .await
    }
}

/// Applies the migrations that the database does not have yet, and returns their names.
///
/// If the connection is lost or leads to a read-only server, it starts again for up to 60 s.
///
/// # Errors
/// - [`Error::Migration`](crate::Error::Migration) if a migration fails. The error names it; the
///   migrations before it stay applied. The failed one leaves nothing behind, except for an index
///   that was being built concurrently. PostgreSQL keeps such an index as invalid, and a later
///   migration fails with its name.
/// - [`Error::InvalidInput`](crate::Error::InvalidInput) if one of the schemas `public`,
///   `analysis`, `setup`, `audit` and `cache`, or the table of applied migrations, belongs to an
///   untrusted role. Trusted are the migrating role, the roles that it is a member of, the owner of
///   the database, and superusers.
/// - [`Error::Connection`](crate::Error::Connection) if the server does not respond to a query
///   about the lock within 10 s.
#[repository]
pub async fn up(config: &Config) -> Result<Vec<String>> {
    Runner::new(config).up().await
}

/// Reverts all migrations and returns their names.
///
/// All data is deleted. The database is then as it was before the first migration.
///
/// # Errors
/// The same as [`Runner::down`]. A [`Runner`] with the application's migrations reverts those.
#[repository]
pub async fn down(config: &Config) -> Result<Vec<String>> {
    Runner::new(config).down().await
}

/// Reverts the newest applied migration and returns its name.
///
/// # Errors
/// The same as [`Runner::down_by_one`].
#[repository]
pub async fn down_by_one(config: &Config) -> Result<Option<String>> {
    Runner::new(config).down_by_one().await
}

/// Returns every migration in order, with its state in the database.
///
/// # Errors
/// - [`Error::InvalidInput`](crate::Error::InvalidInput) as [`up`]
/// - [`Error::Migration`](crate::Error::Migration) if the embedded list cannot be read
#[repository]
pub async fn status(config: &Config) -> Result<Vec<MigrationStatus>> {
    Runner::new(config).status().await
}

/// Adopts a database that was built from the design's own SQL, with everything in the schema
/// `public`.
///
/// Moves it with its data into the five schemas, applies the other migrations, and returns the
/// names of all.
///
/// # Errors
/// - The errors of [`up`]
/// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the migrations have already been run
#[repository]
pub async fn adopt(config: &Config) -> Result<Vec<String>> {
    watching(open(config).await?, take_over).await
}

/// Gives a role of the database the rights for its work, and takes all others from it: on this
/// crate's tables, their partitions and sequences, its functions, and the list of applied
/// migrations. Default privileges of the role in the schemas `analysis`, `setup`, `audit` and
/// `cache` are taken, too: a new partition would have them. Those without a schema stay.
///
/// The role must exist. The owner of the tables calls this, again after each [`up`] that has
/// applied something. [`grant_sql`](crate::migrations::grant_sql) returns what is executed.
///
/// # Errors
/// - [`Error::InvalidInput`](crate::Error::InvalidInput) if `role` cannot be the name of a role,
///   and as [`up`].
/// - [`Error::Other`](crate::Error::Other) if there is no such role; if the role is a superuser or
///   has the rights of the owner, so that nothing could be refused to it; if the caller is not the
///   owner of the tables; or if another role has granted something.
#[repository]
pub async fn grant(config: &Config, role: &str, rights: Rights) -> Result<()> {
    let block = rights::block(role, Some(rights))?;
    let connection = open(config).await?;
    watching(connection, move |connection, watch| {
        execute(connection, watch, &block)
    })
    .await
}

/// Takes all rights on this crate's schemas, tables and functions from a role. It keeps those that
/// all roles have.
///
/// # Errors
/// The same as [`grant`].
#[repository]
pub async fn revoke(config: &Config, role: &str) -> Result<()> {
    let block = rights::block(role, None)?;
    let connection = open(config).await?;
    watching(connection, move |connection, watch| {
        execute(connection, watch, &block)
    })
    .await
}

/// Isolates the organizations from each other by row-level security.
///
/// A role that is not the owner then sees and writes only the rows of the organization that
/// [`Db::for_organization`](crate::Db::for_organization) names, and none without it. Rows of tables
/// that belong to no organization are not affected: users, user sessions, setup sessions and steps,
/// tools, and the system log. Global settings and public setup profiles without an organization are
/// read by every organization.
///
/// Each table is locked for a moment, at most 5 s are waited for it. It can be called again, for
/// example after an update of this crate. Revert it before [`down`] and [`down_by_one`].
///
/// # Errors
/// - [`Error::InvalidInput`](crate::Error::InvalidInput) and
///   [`Error::Connection`](crate::Error::Connection) as [`up`].
/// - [`Error::Timeout`](crate::Error::Timeout) if a table is in use for longer. Nothing is changed
///   then.
/// - [`Error::Other`](crate::Error::Other) with the SQLSTATE 42501 if the caller is not the owner
///   of the tables.
#[repository]
pub async fn isolate(config: &Config) -> Result<()> {
    let connection = open(config).await?;
    watching(connection, |connection, watch| {
        execute(
            connection,
            watch,
            &[LOCK_LIMIT, END_ISOLATION, ISOLATE].concat(),
        )
    })
    .await
}

/// Reverts [`isolate`].
///
/// # Errors
/// The same as [`isolate`].
#[repository]
pub async fn end_isolation(config: &Config) -> Result<()> {
    let connection = open(config).await?;
    watching(connection, |connection, watch| {
        execute(connection, watch, &[LOCK_LIMIT, END_ISOLATION].concat())
    })
    .await
}
