//! The session in which one process migrates: its settings, its lock, and whom it trusts.

use std::thread::sleep;
use std::time::{Duration, Instant};

use diesel::sql_types::{BigInt, Bool};
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use super::{MigrationConnection, Watch, lines, watched};
use crate::{Error, Result};

/// The key of the advisory lock, from the crate's name.
const LOCK: i64 = 0x7775_6e64_725f_6462;

/// The time to wait for another process that migrates.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);

/// The session settings of a migration, whatever the URL, the role and the database set.
///
/// The time limits of a request do not apply, and no name is resolved in a schema in which another
/// role may create objects.
pub(super) const SESSION: &str = "SET search_path = pg_catalog, pg_temp; \
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
    SET default_transaction_isolation = 'read committed'; \
    SET quote_all_identifiers = off; \
    SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'";

/// Selects the trusted objects that belong to an untrusted role.
///
/// Trusted roles are the migrating role, the roles that it is a member of, the owner of the
/// database, and superusers.
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

#[derive(QueryableByName)]
struct Flag {
    #[diesel(sql_type = Bool)]
    is_true: bool,
}

/// Runs a query that takes the lock's key and returns one boolean.
fn query_lock(connection: &mut impl MigrationConnection, query: &str) -> Result<bool> {
    Ok(sql_query(query)
        .bind::<BigInt, _>(LOCK)
        .get_result::<Flag>(connection)?
        .is_true)
}

/// Runs `work` while no other process migrates.
///
/// The lock is polled, because a session that waits for it in the server would block `CREATE INDEX
/// CONCURRENTLY`.
pub(super) fn with_lock<C: MigrationConnection, T>(
    connection: &mut C,
    watch: Watch<'_>,
    work: impl FnOnce(&mut C) -> Result<T>,
) -> Result<T> {
    watched(watch, || Ok(connection.batch_execute(SESSION)?))?;
    let deadline = Instant::now() + LOCK_TIMEOUT;
    let mut wait = Duration::from_millis(10);
    while !watched(watch, || {
        query_lock(
            connection,
            "SELECT pg_catalog.pg_try_advisory_lock($1) AS is_true",
        )
    })? {
        if Instant::now() > deadline {
            return Err(Error::Timeout(
                "another process is still migrating".to_owned(),
            ));
        }
        sleep(wait);
        wait = (wait * 2).min(Duration::from_millis(500));
    }
    let outcome = check_owners(connection, watch).and_then(|()| work(connection));
    let still_writable = watched(watch, || query_lock(connection, UNLOCK));
    match (outcome, still_writable) {
        (Ok(value), Ok(_)) => Ok(value),
        (Ok(_), Err(error)) => Err(error),
        // The migration's own error does not show whether the server is still available.
        (Err(error @ Error::Migration { .. }), Err(Error::Connection { .. })) => {
            Err(Error::broken_connection(&error.to_string()))
        }
        (Err(Error::Migration { .. }), Ok(false)) => Err(Error::ReadOnly),
        (Err(error), _) => Err(error),
    }
}

/// Releases the lock, and returns true if the server still accepts writes.
const UNLOCK: &str = "SELECT pg_catalog.pg_advisory_unlock($1) \
    AND pg_catalog.current_setting('transaction_read_only') = 'off' AS is_true";

/// Rejects a database in which an untrusted role owns a trusted object.
pub(super) fn check_owners(
    connection: &mut impl MigrationConnection,
    watch: Watch<'_>,
) -> Result<()> {
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
