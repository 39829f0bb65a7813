//! The migrations, embedded, and what runs them.
//!
//! They come in two layers: the design as it is written, and then what hardens it, one step for each row of the
//! README's table of departures. They run on a connection of their own, which must not lead through PgBouncer, under
//! a lock that lets any number of processes start at once: one migrates, the others wait and find nothing to do.

use std::thread::sleep;
use std::time::{Duration, Instant};

use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Bool};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::error::innermost;
use crate::{Config, Error, Result};

/// All migrations, for tools that take diesel's own.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// What turns a database that was built from the design's own SQL into one with the first layer applied.
const ADOPT: &str = include_str!("../migrations/adopt.sql");

/// Migrations whose version begins so are the design as written.
const FIRST_LAYER: &str = "20250101";

/// The key of the lock, from the crate's name.
const LOCK: i64 = 0x7775_6e64_725f_6462;

/// How long to wait for another process that migrates.
const PATIENCE: Duration = Duration::from_secs(600);

/// One migration and whether the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its folder's name, for example `2025-01-01-000100_core`.
    pub name: String,
    /// Whether it was applied.
    pub is_applied: bool,
}

/// Names the set of migrations, so that a test's template is made anew when a migration is added.
#[cfg(feature = "testing")]
pub(crate) fn fingerprint() -> String {
    let names = all().map(|all| {
        all.iter()
            .map(|migration| migration.name().to_string())
            .collect::<Vec<_>>()
    });
    names.unwrap_or_default().join(",")
}

/// A connection that migrations can run on.
trait MigrationConnection:
    diesel::Connection<Backend = Pg> + diesel::connection::LoadConnection + MigrationHarness<Pg>
{
}
impl<C> MigrationConnection for C where
    C: diesel::Connection<Backend = Pg> + diesel::connection::LoadConnection + MigrationHarness<Pg>
{
}

/// Without the limits that fit a request: a migration may take as long as it needs.
fn unhurried(config: &Config) -> Config {
    config
        .clone()
        .statement_timeout(None)
        .idle_in_transaction_timeout(None)
        .application_name("wundr-db migrations")
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

fn ask(connection: &mut impl MigrationConnection, question: &str) -> Result<bool> {
    Ok(sql_query(question)
        .bind::<BigInt, _>(LOCK)
        .get_result::<Answer>(connection)?
        .yes)
}

/// Does `work` while no other process does such work. The lock is tried for, not waited for in the server: a session
/// that waits there would hold up `CREATE INDEX CONCURRENTLY`.
fn alone<C: MigrationConnection, T>(
    connection: &mut C,
    work: impl FnOnce(&mut C) -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    let mut wait = Duration::from_millis(10);
    while !ask(
        connection,
        "SELECT pg_catalog.pg_try_advisory_lock($1) AS yes",
    )? {
        if Instant::now() > deadline {
            return Err(Error::Timeout(
                "another process has been migrating for too long".to_owned(),
            ));
        }
        sleep(wait);
        wait = (wait * 2).min(Duration::from_millis(500));
    }
    let outcome = work(connection);
    let unlocked = ask(
        connection,
        "SELECT pg_catalog.pg_advisory_unlock($1) AS yes",
    );
    let value = outcome?;
    unlocked.map(|_| value)
}

fn failed(
    version: &dyn std::fmt::Display,
    error: &(dyn std::error::Error + Send + Sync + 'static),
) -> Error {
    Error::Migration {
        version: version.to_string(),
        message: innermost(error),
    }
}

fn all() -> Result<Vec<Box<dyn Migration<Pg>>>> {
    let mut migrations = MIGRATIONS
        .migrations()
        .map_err(|error| failed(&"list", &*error))?;
    migrations.sort_by(|one, other| one.name().version().cmp(&other.name().version()));
    Ok(migrations)
}

fn applied(connection: &mut impl MigrationConnection) -> Result<Vec<MigrationVersion<'static>>> {
    connection
        .applied_migrations()
        .map_err(|error| failed(&"list", &*error))
}

fn apply<C: MigrationConnection>(connection: &mut C) -> Result<Vec<String>> {
    alone(connection, |connection| {
        let before = applied(connection)?;
        let mut done = Vec::new();
        for migration in all()?
            .iter()
            .filter(|migration| !before.contains(&migration.name().version()))
        {
            connection
                .run_migration(migration)
                .map_err(|error| failed(&migration.name(), &*error))?;
            done.push(migration.name().to_string());
        }
        Ok(done)
    })
}

fn revert<C: MigrationConnection>(connection: &mut C) -> Result<Vec<String>> {
    alone(connection, |connection| {
        let before = applied(connection)?;
        let mut done = Vec::new();
        for migration in all()?
            .iter()
            .rev()
            .filter(|migration| before.contains(&migration.name().version()))
        {
            connection
                .revert_migration(migration)
                .map_err(|error| failed(&migration.name(), &*error))?;
            done.push(migration.name().to_string());
        }
        Ok(done)
    })
}

fn revert_last<C: MigrationConnection>(connection: &mut C) -> Result<Option<String>> {
    alone(connection, |connection| {
        let before = applied(connection)?;
        let Some(last) = all()?
            .into_iter()
            .rev()
            .find(|migration| before.contains(&migration.name().version()))
        else {
            return Ok(None);
        };
        connection
            .revert_migration(&last)
            .map_err(|error| failed(&last.name(), &*error))?;
        Ok(Some(last.name().to_string()))
    })
}

fn list<C: MigrationConnection>(connection: &mut C) -> Result<Vec<MigrationStatus>> {
    let applied = applied(connection)?;
    let status = |migration: &dyn Migration<Pg>| MigrationStatus {
        name: migration.name().to_string(),
        is_applied: applied.contains(&migration.name().version()),
    };
    Ok(all()?
        .iter()
        .map(|migration| status(&**migration))
        .collect())
}

fn take_over<C: MigrationConnection>(connection: &mut C) -> Result<Vec<String>> {
    let adopted = alone(connection, |connection| {
        if !applied(connection)?.is_empty() {
            return Err(Error::invalid(
                "database",
                "its migrations have been run already",
            ));
        }
        connection.transaction::<_, Error, _>(|connection| {
            connection
                .batch_execute(ADOPT)
                .map_err(|error| failed(&"adopt", &error))?;
            let mut done = Vec::new();
            for migration in all()?.iter().filter(|migration| {
                migration
                    .name()
                    .version()
                    .to_string()
                    .starts_with(FIRST_LAYER)
            }) {
                sql_query("INSERT INTO public.__diesel_schema_migrations (version) VALUES ($1)")
                    .bind::<diesel::sql_types::Text, _>(migration.name().version().to_string())
                    .execute(connection)?;
                done.push(migration.name().to_string());
            }
            Ok(done)
        })
    })?;
    let hardened = apply(connection)?;
    Ok(adopted.into_iter().chain(hardened).collect())
}

/// Runs the migrations from async code.
#[cfg(feature = "async")]
mod asynchronous {
    use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;

    use super::MigrationStatus;
    use crate::engine::connect::connect;
    use crate::{Config, Error, Result};

    type Connection = AsyncConnectionWrapper<crate::engine::connection::Connection>;

    /// diesel's migrations block: they get a thread of their own.
    async fn on_a_thread<T: Send + 'static>(
        config: &Config,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let connection = connect(&super::unhurried(config)).await?;
        let work = move || work(&mut Connection::from(connection));
        match tokio::task::spawn_blocking(work).await {
            Ok(outcome) => outcome,
            Err(error) => Err(Error::Migration {
                version: "all".to_owned(),
                message: error.to_string(),
            }),
        }
    }

    /// Applies what the database does not have yet, and tells which migrations that were.
    ///
    /// # Errors
    /// [`Error::Migration`] that names the migration; those before it stay applied. It itself leaves
    /// nothing, but for an index that was being built concurrently: PostgreSQL keeps it as invalid, and a later
    /// migration says so.
    pub async fn up(config: &Config) -> Result<Vec<String>> {
        on_a_thread(config, super::apply).await
    }

    /// Reverts everything: the data is gone, the database is as before the first migration.
    ///
    /// # Errors
    /// [`Error::Migration`] that names the migration.
    pub async fn down(config: &Config) -> Result<Vec<String>> {
        on_a_thread(config, super::revert).await
    }

    /// Reverts the newest migration and tells which it was.
    ///
    /// # Errors
    /// [`Error::Migration`] that names the migration.
    pub async fn down_by_one(config: &Config) -> Result<Option<String>> {
        on_a_thread(config, super::revert_last).await
    }

    /// Every migration, in order, and whether the database has it.
    ///
    /// # Errors
    /// [`Error::Migration`] if the list cannot be read.
    pub async fn status(config: &Config) -> Result<Vec<MigrationStatus>> {
        on_a_thread(config, super::list).await
    }

    /// Takes over a database that was built from the design's own SQL, everything in the schema `public`: moves it
    /// into the five schemas and hardens it, with its data.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the migrations have been run already, [`Error::Migration`] if one fails.
    pub async fn adopt(config: &Config) -> Result<Vec<String>> {
        on_a_thread(config, super::take_over).await
    }
}
#[cfg(feature = "async")]
pub use asynchronous::{adopt, down, down_by_one, status, up};

/// The same from blocking code.
#[cfg(feature = "blocking")]
#[doc(hidden)]
pub mod blocking {
    use diesel::PgConnection;

    use super::MigrationStatus;
    use crate::engine::libpq::Connector;
    use crate::{Config, Result};

    fn connect(config: &Config) -> Result<PgConnection> {
        Connector::new(&super::unhurried(config))?.connect()
    }

    /// Applies what the database does not have yet, and tells which migrations that were.
    ///
    /// # Errors
    /// [`Error::Migration`] that names the migration; those before it stay applied. It itself leaves
    /// nothing, but for an index that was being built concurrently: PostgreSQL keeps it as invalid, and a later
    /// migration says so.
    pub fn up(config: &Config) -> Result<Vec<String>> {
        super::apply(&mut connect(config)?)
    }

    /// Reverts everything: the data is gone, the database is as before the first migration.
    ///
    /// # Errors
    /// [`Error::Migration`] that names the migration.
    pub fn down(config: &Config) -> Result<Vec<String>> {
        super::revert(&mut connect(config)?)
    }

    /// Reverts the newest migration and tells which it was.
    ///
    /// # Errors
    /// [`Error::Migration`] that names the migration.
    pub fn down_by_one(config: &Config) -> Result<Option<String>> {
        super::revert_last(&mut connect(config)?)
    }

    /// Every migration, in order, and whether the database has it.
    ///
    /// # Errors
    /// [`Error::Migration`] if the list cannot be read.
    pub fn status(config: &Config) -> Result<Vec<MigrationStatus>> {
        super::list(&mut connect(config)?)
    }

    /// Takes over a database that was built from the design's own SQL, everything in the schema `public`: moves it
    /// into the five schemas and hardens it, with its data.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the migrations have been run already, [`Error::Migration`] if one fails.
    pub fn adopt(config: &Config) -> Result<Vec<String>> {
        super::take_over(&mut connect(config)?)
    }
}
