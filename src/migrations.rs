//! The embedded migrations and the functions that run them.
//!
//! They come in two layers: the original design, and then its hardening, one migration for each
//! departure that `docs/schema.md` lists. They run on a connection of their own, which must not
//! lead through PgBouncer. A lock lets any number of processes start together: one migrates, and
//! the others wait and then have nothing to do.

mod applied;
mod exclusively;
mod plan;
pub(crate) mod watching;
mod way_back;

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel::migration::Migration;
use diesel::pg::Pg;
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

#[cfg(feature = "async")]
pub use crate::engine::asynchronous::migrations::{
    Runner, adopt, down, down_by_one, end_isolation, grant, isolate, revoke, status, up,
};
use crate::error::innermost;
use crate::{Config, Error, Result};

pub(crate) mod rights;
use applied::{RECORD_APPLIED, RECORD_REVERTED, applied, run};
use exclusively::{SESSION, check_owners, with_lock};
pub(crate) use plan::Plan;
use plan::Planned;
pub use rights::{Rights, grant_sql, revoke_sql};

/// All migrations, for tools that use diesel's migration harness.
///
/// diesel's runner finds its table of applied migrations by the `search_path`. [`up`] and the other
/// functions use `public.__diesel_schema_migrations`. A tool must connect with a `search_path` that
/// begins with `public`.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// The SQL that turns a database built from the design's own SQL into one with the first layer
/// applied.
const ADOPT: &str = include_str!("../migrations/adopt.sql");

/// The policies of row-level security by organization, and their removal.
pub(crate) const ISOLATE: &str = include_str!("../migrations/isolate.sql");
pub(crate) const END_ISOLATION: &str = include_str!("../migrations/end_isolation.sql");
pub(crate) const LOCK_LIMIT: &str = "SET LOCAL lock_timeout = '5s';\n";

/// The beginning of the versions of the first layer, the original design.
const FIRST_LAYER: &str = "20250101";

/// The time limit for a query that the server can execute immediately.
pub(crate) const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The time for which [`up`] starts again after the connection was lost or led to a read-only
/// server.
pub(crate) const FAILOVER: Duration = Duration::from_secs(60);

/// The pause before [`up`] starts again.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A migration and its state in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The name of its directory, for example `2025-01-01-000100_core`.
    pub name: String,
    /// True if it has been applied.
    pub is_applied: bool,
    /// True if the application brings it, false if it is this crate's.
    pub is_own: bool,
}

/// Returns a text that identifies the set of migrations.
///
/// The tests' template database is created again when a migration is added.
#[cfg(feature = "testing")]
pub(crate) fn fingerprint() -> String {
    let all = Plan::default().all().unwrap_or_default();
    let names: Vec<_> = all.iter().map(Planned::name).collect();
    names.join(",")
}

/// A connection that migrations can run on.
pub(crate) trait MigrationConnection:
    diesel::Connection<Backend = Pg> + diesel::connection::LoadConnection + 'static
{
}
impl<C> MigrationConnection for C where
    C: diesel::Connection<Backend = Pg> + diesel::connection::LoadConnection + 'static
{
}

/// Returns the settings without the time limits of requests: a migration may take any time.
pub(crate) fn without_limits(config: &Config) -> Config {
    config
        .without_limits()
        .application_name("wundr-db migrations")
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

/// A report of the migrating thread to the caller.
///
/// While a query with a time limit runs, the caller waits at most [`QUERY_TIMEOUT`] for the next
/// report.
pub(crate) enum Report<T> {
    /// A query with a time limit was sent.
    QuerySent,
    /// The query has ended.
    QueryEnded,
    Done(Result<T>),
}

impl<T> Report<T> {
    pub(crate) fn of(is_limited: bool) -> Self {
        if is_limited {
            Self::QuerySent
        } else {
            Self::QueryEnded
        }
    }
}

/// Reports the begin (`true`) and the end (`false`) of a query with a time limit.
pub(crate) type Watch<'a> = &'a dyn Fn(bool);

/// Runs a query with a time limit.
fn watched<T>(watch: Watch<'_>, query: impl FnOnce() -> Result<T>) -> Result<T> {
    watch(true);
    let outcome = query();
    watch(false);
    outcome
}

/// Returns the error of a query that exceeded its limit. Its connection cannot be used again.
pub(crate) fn query_timed_out() -> Error {
    Error::broken_connection(&format!(
        "the server did not respond to a query about the migrations within {QUERY_TIMEOUT:?}"
    ))
}

/// Returns the error of a migration whose server neither responds to it nor to another connection.
#[cfg(feature = "blocking")]
pub(crate) fn silent(limit: Duration) -> Error {
    Error::broken_connection(&format!("no response from the server for {limit:?}"))
}

fn failed(
    version: &dyn std::fmt::Display,
    error: &(dyn std::error::Error + Send + Sync + 'static),
) -> Error {
    Error::Migration {
        version: version.to_string(),
        message: match details(error) {
            Some(details) => format!("{}: {details}", innermost(error)),
            None => innermost(error),
        },
    }
}

/// Returns the server's details of an error, for example the objects that depend on another.
fn details(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<String> {
    let error: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.find_map(|cause| match cause.downcast_ref() {
        Some(diesel::result::Error::DatabaseError(_, information)) => information
            .details()
            .map(|details| details.replace('\n', "; ")),
        _ => None,
    })
}

/// Checks whether [`up`] may succeed on another connection.
pub(crate) const fn may_start_again(error: &Error) -> bool {
    matches!(error, Error::Connection { .. } | Error::ReadOnly)
}

/// The versions that were applied before [`up`] started for the first time.
pub(crate) type Before = Mutex<Option<Vec<String>>>;

pub(crate) fn apply<C: MigrationConnection>(
    connection: &mut C,
    watch: Watch<'_>,
    plan: &Plan,
    before: &Before,
) -> Result<Vec<String>> {
    let all = plan.all()?;
    with_lock(connection, watch, |connection| {
        let now = applied(connection)?;
        let before = before
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| now.clone())
            .clone();
        let mut done = Vec::new();
        for planned in all {
            let version = planned.version();
            if !now.contains(&version) {
                let up =
                    |migration: &dyn Migration<Pg>, connection: &mut C| migration.run(connection);
                run(connection, plan, &planned, up, RECORD_APPLIED)?;
            }
            if !before.contains(&version) {
                done.push(planned.name());
            }
        }
        Ok(done)
    })
}

/// Reverts the applied migrations of a plan, or the newest one alone.
pub(crate) fn revert<C: MigrationConnection>(
    connection: &mut C,
    watch: Watch<'_>,
    plan: &Plan,
    how_far: HowFar,
) -> Result<Vec<String>> {
    let all = plan.all()?;
    with_lock(connection, watch, |connection| {
        let before = applied(connection)?;
        let versions: Vec<_> = all.iter().map(Planned::version).collect();
        let is_unknown = |version: &String| !versions.contains(version);
        let unknown: Vec<_> = before
            .iter()
            .filter(|&version| is_unknown(version))
            .cloned()
            .collect();
        let newest_first = all.iter().zip(versions).rev();
        let applied = newest_first.filter(|(_, version)| before.contains(version));
        let mut rest: Vec<_> = applied.map(|(planned, _)| planned).collect();
        if how_far == HowFar::One {
            rest.truncate(1);
        }
        let down = |migration: &dyn Migration<Pg>, connection: &mut C| migration.revert(connection);
        let mut is_checked = how_far == HowFar::One;
        let mut done = Vec::new();
        for (index, &planned) in rest.iter().enumerate() {
            // Before the first, or before the first of this crate's if the others cannot be tried.
            let own = rest[index..]
                .iter()
                .copied()
                .take_while(|planned| planned.is_own);
            let own: Vec<_> = own.collect();
            let has_ours = own.len() < rest.len() - index;
            if !is_checked && has_ours && own.iter().all(|own| way_back::can_be_tried(own)) {
                way_back::check(connection, watch, plan, &own, &unknown)?;
                is_checked = true;
            }
            done.push(match how_far {
                HowFar::One if !planned.is_own && way_back::can_be_tried(planned) => {
                    revert_one(connection, watch, plan, planned)?
                }
                _ => run(connection, plan, planned, down, RECORD_REVERTED)?,
            });
        }
        Ok(done)
    })
}

/// Reverts a migration of this crate, unless an object of others depends on what it drops. It is
/// one transaction, so that nothing is reverted then.
fn revert_one<C: MigrationConnection>(
    connection: &mut C,
    watch: Watch<'_>,
    plan: &Plan,
    planned: &Planned,
) -> Result<String> {
    let dependents = watched(watch, || way_back::dependents(connection))?;
    let refusal = Cell::new(None);
    let down = |migration: &dyn Migration<Pg>, connection: &mut C| {
        let reverted = migration.revert(connection);
        let refused = match &reverted {
            Ok(()) => way_back::check_kept(connection, &dependents).err(),
            Err(failure) => way_back::refusal(&**failure, &dependents),
        };
        let outcome = match &refused {
            Some(error) => Err(error.to_string().into()),
            None => reverted,
        };
        refusal.set(refused);
        outcome
    };
    let reverted = run(connection, plan, planned, down, RECORD_REVERTED);
    match refusal.take() {
        Some(error) => Err(error),
        None => reverted,
    }
}

/// The number of migrations that are reverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HowFar {
    One,
    All,
}

pub(crate) fn list<C: MigrationConnection>(
    connection: &mut C,
    watch: Watch<'_>,
    plan: &Plan,
) -> Result<Vec<MigrationStatus>> {
    let all = plan.all()?;
    watched(watch, || Ok(connection.batch_execute(SESSION)?))?;
    check_owners(connection, watch)?;
    let applied = applied(connection)?;
    let status = |planned: &Planned| MigrationStatus {
        name: planned.name(),
        is_applied: applied.contains(&planned.version()),
        is_own: planned.is_own,
    };
    Ok(all.iter().map(status).collect())
}

pub(crate) fn take_over<C: MigrationConnection>(
    connection: &mut C,
    watch: Watch<'_>,
) -> Result<Vec<String>> {
    let adopted = with_lock(connection, watch, |connection| {
        if !applied(connection)?.is_empty() {
            return Err(Error::invalid(
                "database",
                "the migrations have already been run",
            ));
        }
        connection.transaction::<_, Error, _>(|connection| {
            connection
                .batch_execute(ADOPT)
                .map_err(|error| failed(&"adopt", &error))?;
            let mut done = Vec::new();
            for planned in Plan::default().all()? {
                let version = planned.version();
                if version.starts_with(FIRST_LAYER) {
                    sql_query(RECORD_APPLIED)
                        .bind::<Text, _>(version)
                        .execute(connection)?;
                    done.push(planned.name());
                }
            }
            Ok(done)
        })
    })?;
    let hardened = apply(connection, watch, &Plan::default(), &Before::default())?;
    Ok(adopted.into_iter().chain(hardened).collect())
}

/// Executes SQL in one transaction while no other process migrates.
pub(crate) fn execute<C: MigrationConnection>(
    connection: &mut C,
    watch: Watch<'_>,
    sql: &str,
) -> Result<()> {
    with_lock(connection, watch, |connection| {
        connection.transaction::<_, Error, _>(|connection| Ok(connection.batch_execute(sql)?))
    })
}

/// Starts the migrating thread. It is abandoned if the server does not respond.
pub(crate) fn start(work: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name("wundr-db migrations".to_owned());
    let started = thread.spawn(work);
    started.map(drop).map_err(|error| Error::Migration {
        version: "all".to_owned(),
        message: error.to_string(),
    })
}

/// Returns the error of a migrating thread that has panicked.
pub(crate) fn ended() -> Error {
    Error::Migration {
        version: "all".to_owned(),
        message: "the migrating thread has panicked".to_owned(),
    }
}
