//! The migrations, embedded, and what runs them.
//!
//! They come in two layers: the design as it is written, and then what hardens it, one step for each row of the
//! README's table of departures. They run on a connection of their own, which must not lead through PgBouncer, under
//! a lock that lets any number of processes start at once: one migrates, the others wait and find nothing to do.

use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::error::innermost;
use crate::{Config, Error, Result};

/// All migrations, for tools that take diesel's own.
///
/// diesel's runner finds its table of applied migrations by the `search_path`; [`up`] and its like use
/// `public.__diesel_schema_migrations`. A tool has to connect with a `search_path` that begins with `public`.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// What turns a database that was built from the design's own SQL into one with the first layer applied.
const ADOPT: &str = include_str!("../migrations/adopt.sql");

/// Migrations whose version begins so are the design as written.
const FIRST_LAYER: &str = "20250101";

/// The key of the lock, from the crate's name.
const LOCK: i64 = 0x7775_6e64_725f_6462;

/// How long to wait for another process that migrates.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long the server may take to answer a question that it can answer at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long [`up`] begins anew after the connection was lost or led to a read-only server.
const FAILOVER: Duration = Duration::from_secs(60);

/// The pause before [`up`] begins anew.
const BEFORE_ANOTHER: Duration = Duration::from_millis(500);

/// What a migration needs of its session, whatever the URL, the role and the database say: the limits of a request do
/// not apply, and nothing is found by a path on which another role may create.
const SESSION: &str = "SET search_path = pg_catalog, pg_temp; \
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
    SET default_transaction_isolation = 'read committed'; \
    SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'";

/// The objects that are about to be trusted and belong to a role that is not: neither the migrating role nor one that
/// it is a member of, nor the owner of the database, nor a superuser.
const FOREIGN: &str = "WITH RECURSIVE own AS ( \
        SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user \
        UNION \
        SELECT m.roleid FROM own JOIN pg_catalog.pg_auth_members AS m ON m.member = own.oid \
    ), found AS ( \
        SELECT pg_catalog.format('schema %I', nspname) AS what, nspowner AS owner \
        FROM pg_catalog.pg_namespace WHERE nspname IN ('public', 'analysis', 'setup', 'audit', 'cache') \
        UNION ALL \
        SELECT pg_catalog.format('relation public.%I', c.relname), c.relowner FROM pg_catalog.pg_class AS c \
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
        WHERE n.nspname = 'public' AND c.relname = '__diesel_schema_migrations' \
    ) \
    SELECT pg_catalog.format('%s belongs to %I', what, r.rolname) AS line \
    FROM found JOIN pg_catalog.pg_roles AS r ON r.oid = owner \
    WHERE NOT r.rolsuper AND r.rolname <> 'pg_database_owner' AND r.oid NOT IN (SELECT oid FROM own) \
        AND r.oid <> (SELECT datdba FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
    ORDER BY line";

/// The table of applied migrations, and those of that name in other schemas.
const LISTS: &str = "SELECT n.nspname::TEXT AS line FROM pg_catalog.pg_class AS c \
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE c.relname = '__diesel_schema_migrations' AND c.relkind = 'r' ORDER BY line";

/// As diesel makes it.
const MAKE_LIST: &str = "CREATE TABLE IF NOT EXISTS public.__diesel_schema_migrations (\
    version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)";

const APPLIED: &str = "SELECT version::TEXT AS line FROM public.__diesel_schema_migrations";

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
    diesel::Connection<Backend = Pg> + diesel::connection::LoadConnection + 'static
{
}
impl<C> MigrationConnection for C where
    C: diesel::Connection<Backend = Pg> + diesel::connection::LoadConnection + 'static
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

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

fn lines(connection: &mut impl MigrationConnection, query: &str) -> Result<Vec<String>> {
    let lines: Vec<Line> = sql_query(query).load(connection)?;
    Ok(lines.into_iter().map(|line| line.line).collect())
}

/// What the thread that works reports to the caller, which waits no longer for an answer than [`ANSWER_LIMIT`].
enum Report<T> {
    /// A question was sent that the server can answer at once.
    Asked,
    /// It was answered.
    Answered,
    Done(Result<T>),
}

impl<T> Report<T> {
    fn of(is_asked: bool) -> Self {
        if is_asked {
            Self::Asked
        } else {
            Self::Answered
        }
    }
}

/// Reports the questions that have a limit.
type Watch<'a> = &'a dyn Fn(bool);

fn watched<T>(watch: Watch<'_>, question: impl FnOnce() -> Result<T>) -> Result<T> {
    watch(true);
    let answer = question();
    watch(false);
    answer
}

/// The error of a question that was not answered in time. The connection is of no further use.
fn no_answer() -> Error {
    Error::broken_connection(&format!(
        "the server did not answer a question about the migrations within {ANSWER_LIMIT:?}"
    ))
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
    watch: Watch<'_>,
    work: impl FnOnce(&mut C) -> Result<T>,
) -> Result<T> {
    watched(watch, || Ok(connection.batch_execute(SESSION)?))?;
    let deadline = Instant::now() + PATIENCE;
    let mut wait = Duration::from_millis(10);
    while !watched(watch, || {
        ask(
            connection,
            "SELECT pg_catalog.pg_try_advisory_lock($1) AS yes",
        )
    })? {
        if Instant::now() > deadline {
            return Err(Error::Timeout(
                "another process has been migrating for too long".to_owned(),
            ));
        }
        sleep(wait);
        wait = (wait * 2).min(Duration::from_millis(500));
    }
    let outcome = own(connection, watch).and_then(|()| work(connection));
    let still_writable = watched(watch, || ask(connection, UNLOCK));
    match (outcome, still_writable) {
        (Ok(value), Ok(_)) => Ok(value),
        (Ok(_), Err(error)) => Err(error),
        // The migration's own error does not say what has become of the server.
        (Err(error @ Error::Migration { .. }), Err(Error::Connection { .. })) => {
            Err(Error::broken_connection(&error.to_string()))
        }
        (Err(Error::Migration { .. }), Ok(false)) => Err(Error::ReadOnly),
        (Err(error), _) => Err(error),
    }
}

/// Gives the lock back, and returns whether the server can still be written to.
const UNLOCK: &str = "SELECT pg_catalog.pg_advisory_unlock($1) \
    AND pg_catalog.current_setting('transaction_read_only') = 'off' AS yes";

/// Refuses a database in which another role owns what is about to be trusted.
fn own(connection: &mut impl MigrationConnection, watch: Watch<'_>) -> Result<()> {
    let foreign = watched(watch, || lines(connection, FOREIGN))?;
    if foreign.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(
        "database",
        format_args!(
            "{}: migrate as a member of that role, or change the owner",
            foreign.join(", ")
        ),
    ))
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

/// Whether [`up`] may succeed on another connection.
const fn may_begin_anew(error: &Error) -> bool {
    matches!(error, Error::Connection { .. } | Error::ReadOnly)
}

fn all() -> Result<Vec<Box<dyn Migration<Pg>>>> {
    let mut migrations = MIGRATIONS
        .migrations()
        .map_err(|error| failed(&"list", &*error))?;
    migrations.sort_by(|one, other| one.name().version().cmp(&other.name().version()));
    Ok(migrations)
}

fn version_of(migration: &dyn Migration<Pg>) -> String {
    migration.name().version().to_string()
}

/// The versions of the migrations that were applied, by a table that is found by its schema and name alone.
fn applied(connection: &mut impl MigrationConnection) -> Result<Vec<String>> {
    let listed_in = lines(connection, LISTS)?;
    if !listed_in.iter().any(|schema| schema == "public") {
        // diesel's own runner has made it where the search_path of its time led.
        for schema in &listed_in {
            let schema = schema.replace('"', "\"\"");
            let ours = format!(
                "SELECT version::TEXT AS line FROM \"{schema}\".__diesel_schema_migrations \
                 WHERE version LIKE '{FIRST_LAYER}%'"
            );
            if !lines(connection, &ours).unwrap_or_default().is_empty() {
                return Err(Error::invalid(
                    "database",
                    format_args!(
                        "its list of migrations is in another schema: \
                         ALTER TABLE \"{schema}\".__diesel_schema_migrations SET SCHEMA public"
                    ),
                ));
            }
        }
        connection.batch_execute(MAKE_LIST)?;
    }
    lines(connection, APPLIED)
}

/// Runs one migration and notes that in the list, by the same transaction where it runs in one.
fn run<C: MigrationConnection>(
    connection: &mut C,
    migration: &dyn Migration<Pg>,
    work: impl Fn(&dyn Migration<Pg>, &mut C) -> diesel::migration::Result<()>,
    note: &str,
) -> Result<String> {
    let both = |connection: &mut C| {
        work(migration, connection)?;
        sql_query(note)
            .bind::<Text, _>(version_of(migration))
            .execute(connection)?;
        Ok(())
    };
    let outcome: diesel::migration::Result<()> = if migration.metadata().run_in_transaction() {
        connection.transaction(both)
    } else {
        both(connection)
    };
    outcome.map_err(|error| failed(&migration.name(), &*error))?;
    Ok(migration.name().to_string())
}

const NOTE_APPLIED: &str = "INSERT INTO public.__diesel_schema_migrations (version) VALUES ($1)";
const NOTE_REVERTED: &str =
    "DELETE FROM public.__diesel_schema_migrations WHERE version = $1::VARCHAR";

/// The versions that were applied before [`up`] began, however often it began anew.
type Before = Mutex<Option<Vec<String>>>;

fn apply<C: MigrationConnection>(
    connection: &mut C,
    watch: Watch<'_>,
    before: &Before,
) -> Result<Vec<String>> {
    alone(connection, watch, |connection| {
        let now = applied(connection)?;
        let before = before
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| now.clone())
            .clone();
        let mut done = Vec::new();
        for migration in all()? {
            let version = version_of(&*migration);
            if !now.contains(&version) {
                let up =
                    |migration: &dyn Migration<Pg>, connection: &mut C| migration.run(connection);
                run(connection, &*migration, up, NOTE_APPLIED)?;
            }
            if !before.contains(&version) {
                done.push(migration.name().to_string());
            }
        }
        Ok(done)
    })
}

/// Reverts the newest of the migrations that were applied, as many as `most`.
fn revert<C: MigrationConnection>(
    connection: &mut C,
    watch: Watch<'_>,
    most: usize,
) -> Result<Vec<String>> {
    alone(connection, watch, |connection| {
        let before = applied(connection)?;
        let down = |migration: &dyn Migration<Pg>, connection: &mut C| migration.revert(connection);
        all()?
            .iter()
            .rev()
            .filter(|migration| before.contains(&version_of(&***migration)))
            .take(most)
            .map(|migration| run(connection, &**migration, down, NOTE_REVERTED))
            .collect()
    })
}

fn list<C: MigrationConnection>(
    connection: &mut C,
    watch: Watch<'_>,
) -> Result<Vec<MigrationStatus>> {
    watched(watch, || Ok(connection.batch_execute(SESSION)?))?;
    own(connection, watch)?;
    let applied = applied(connection)?;
    let status = |migration: &dyn Migration<Pg>| MigrationStatus {
        name: migration.name().to_string(),
        is_applied: applied.contains(&version_of(migration)),
    };
    Ok(all()?
        .iter()
        .map(|migration| status(&**migration))
        .collect())
}

fn take_over<C: MigrationConnection>(connection: &mut C, watch: Watch<'_>) -> Result<Vec<String>> {
    let adopted = alone(connection, watch, |connection| {
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
            for migration in all()? {
                let version = version_of(&*migration);
                if version.starts_with(FIRST_LAYER) {
                    sql_query(NOTE_APPLIED)
                        .bind::<Text, _>(version)
                        .execute(connection)?;
                    done.push(migration.name().to_string());
                }
            }
            Ok(done)
        })
    })?;
    let hardened = apply(connection, watch, &Before::default())?;
    Ok(adopted.into_iter().chain(hardened).collect())
}

/// Starts a thread that migrates. It is left alone when the server does not answer.
fn start(work: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name("wundr-db migrations".to_owned());
    let started = thread.spawn(work);
    started.map(drop).map_err(|error| Error::Migration {
        version: "all".to_owned(),
        message: error.to_string(),
    })
}

/// The error where the thread that migrates has panicked.
fn ended() -> Error {
    Error::Migration {
        version: "all".to_owned(),
        message: "the thread that migrates has ended without an outcome".to_owned(),
    }
}

/// Runs the migrations from async code.
#[cfg(feature = "async")]
#[path = "migrations"]
mod asynchronous {
    use std::time::Duration;

    use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
    use tokio::sync::mpsc::unbounded_channel;
    use wundr_db_macros::asynchronous as repository;

    use super::{ANSWER_LIMIT, Report, Watch};
    use crate::engine::connection::Connection as Driven;
    use crate::{Config, Result};

    type Connection = AsyncConnectionWrapper<Driven>;

    async fn open(config: &Config) -> Result<Driven> {
        crate::engine::connect::connect(&super::unhurried(config)).await
    }

    async fn pause(time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Does `work`, which blocks, on a thread of its own.
    async fn watching<T: Send + 'static>(
        connection: Driven,
        work: impl FnOnce(&mut Connection, Watch<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, mut reports) = unbounded_channel();
        let runtime = tokio::runtime::Handle::current();
        super::start(move || {
            let _runtime = runtime.enter();
            // The caller may have gone.
            let watch = |is_asked| drop(sender.send(Report::of(is_asked)));
            let outcome = work(&mut Connection::from(connection), &watch);
            drop(sender.send(Report::Done(outcome)));
        })?;
        let mut is_asked = false;
        loop {
            let report = if is_asked {
                let report = tokio::time::timeout(ANSWER_LIMIT, reports.recv()).await;
                report.map_err(|_| super::no_answer())?
            } else {
                reports.recv().await
            };
            match report.ok_or_else(super::ended)? {
                Report::Done(outcome) => return outcome,
                report => is_asked = matches!(report, Report::Asked),
            }
        }
    }

    #[path = "runner.rs"]
    mod runner;
    pub use runner::{adopt, down, down_by_one, status, up};
}
#[cfg(feature = "async")]
pub use asynchronous::{adopt, down, down_by_one, status, up};

/// The same from blocking code.
#[cfg(feature = "blocking")]
#[doc(hidden)]
#[path = "migrations"]
pub mod blocking {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::thread::sleep as pause;

    use diesel::PgConnection;
    use wundr_db_macros::blocking as repository;

    use super::{ANSWER_LIMIT, Report, Watch};
    use crate::engine::libpq::Connector;
    use crate::{Config, Result};

    fn open(config: &Config) -> Result<PgConnection> {
        Connector::new(&super::unhurried(config))?.connect()
    }

    /// Does `work` on a thread of its own, since libpq waits for an answer without a limit.
    fn watching<T: Send + 'static>(
        mut connection: PgConnection,
        work: impl FnOnce(&mut PgConnection, Watch<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, reports) = channel();
        super::start(move || {
            // The caller may have gone.
            let watch = |is_asked| drop(sender.send(Report::of(is_asked)));
            let outcome = work(&mut connection, &watch);
            drop(sender.send(Report::Done(outcome)));
        })?;
        let mut is_asked = false;
        loop {
            let report = if is_asked {
                reports
                    .recv_timeout(ANSWER_LIMIT)
                    .map_err(|error| match error {
                        RecvTimeoutError::Timeout => super::no_answer(),
                        RecvTimeoutError::Disconnected => super::ended(),
                    })?
            } else {
                reports.recv().map_err(|_| super::ended())?
            };
            match report {
                Report::Done(outcome) => return outcome,
                report => is_asked = matches!(report, Report::Asked),
            }
        }
    }

    #[path = "runner.rs"]
    mod runner;
    pub use runner::{adopt, down, down_by_one, status, up};
}
