//! The databases of a server.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::data_directory::fnv1a;
use super::{Cluster, PostgresServer};
use crate::testing::ServerError;
use crate::testing::simple_query::Session;

/// The collation of a database: the order of its texts, and the letters that are equal but for
/// their case.
///
/// A server of this module has the collation `C`, which compares bytes. An application's server
/// usually has another one. That decides which indexes a search for a prefix can use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Collation {
    /// A locale of ICU, for example `en-US`. The server must have been built with ICU.
    Icu(String),
    /// A locale of the operating system, for example `en_US.UTF-8` or `C.UTF-8`. It must exist on
    /// the server's machine, with the encoding UTF-8.
    Libc(String),
}

impl Collation {
    /// Returns the options of `CREATE DATABASE`.
    fn options(&self) -> String {
        let quoted = |name: &str| format!("'{}'", name.replace('\'', "''"));
        match self {
            Self::Icu(name) => format!("LOCALE_PROVIDER icu ICU_LOCALE {}", quoted(name)),
            Self::Libc(name) => {
                let name = quoted(name);
                format!("LOCALE_PROVIDER libc LC_COLLATE {name} LC_CTYPE {name}")
            }
        }
    }
}

static NEXT_DATABASE: AtomicU64 = AtomicU64::new(0);

impl PostgresServer {
    /// Creates an empty database with a unique name.
    ///
    /// # Errors
    /// - [`ServerError::Statement`] if PostgreSQL rejects the statement
    /// - [`ServerError::Io`] if it does not respond
    pub fn create_database(&self) -> Result<TestDatabase, ServerError> {
        self.copy_database("template0", "", &mut self.cluster.session()?)
    }

    /// Creates an empty database with a unique name and this collation.
    ///
    /// # Errors
    /// - [`ServerError::Statement`] if PostgreSQL has no such locale or rejects the statement for
    ///   another reason
    /// - [`ServerError::Io`] if it does not respond
    pub fn create_database_with_collation(
        &self,
        collation: &Collation,
    ) -> Result<TestDatabase, ServerError> {
        let mut session = self.cluster.session()?;
        self.copy_database("template0", &collation.options(), &mut session)
    }

    /// Creates a database as a copy of a template, with the template's settings and privileges.
    ///
    /// The first call for a `template_key` creates the template as an empty database. It then calls
    /// `prepare` with its URL, for example to run migrations. Nothing can connect to the template
    /// afterwards. Calls from other threads wait for it, as do calls from other processes that
    /// share the server. Change the key if `prepare` changes: templates remain in a server whose
    /// data is kept.
    ///
    /// `prepare` runs on a thread of its own. It may block on a runtime there even if the caller
    /// runs inside one. Its connections are closed when it returns.
    ///
    /// # Errors
    /// - [`ServerError::Prepare`] with the error of `prepare`. The next call for that key starts
    ///   again.
    /// - The errors of [`create_database`](Self::create_database)
    ///
    /// # Panics
    /// If `prepare` panics.
    pub fn create_database_from<F>(
        &self,
        template_key: &str,
        prepare: F,
    ) -> Result<TestDatabase, ServerError>
    where
        F: FnOnce(&str) -> Result<(), Box<dyn Error + Send + Sync>> + Send,
    {
        let hash = fnv1a(template_key.as_bytes());
        let template = format!("template_{hash:016x}");
        let mut session = self.cluster.session()?;
        if !is_template(&mut session, &template)? {
            // The lock is polled, since a wait in the server would need a time limit. It ends with
            // the session.
            let lock = format!(
                "SELECT pg_catalog.pg_try_advisory_lock({})",
                hash.cast_signed()
            );
            while session.run(&lock)?.as_deref() != Some("t") {
                std::thread::sleep(Duration::from_millis(5));
            }
            if !is_template(&mut session, &template)? {
                self.make_template(&mut session, template_key, &template, prepare)?;
            }
        }
        let database = self.copy_database(&template, "", &mut session)?;
        let name = &database.name;
        // CREATE DATABASE copies neither ALTER DATABASE ... SET nor GRANT ... ON DATABASE.
        session.run(&format!(
            "INSERT INTO pg_catalog.pg_db_role_setting (setdatabase, setrole, setconfig) \
             SELECT new.oid, setrole, setconfig FROM pg_catalog.pg_db_role_setting \
             JOIN pg_catalog.pg_database old ON old.oid = setdatabase AND old.datname = '{template}' \
             JOIN pg_catalog.pg_database new ON new.datname = '{name}'"
        ))?;
        session.run(&format!(
            "UPDATE pg_catalog.pg_database new SET datacl = old.datacl FROM pg_catalog.pg_database old \
             WHERE new.datname = '{name}' AND old.datname = '{template}' AND old.datacl IS NOT NULL"
        ))?;
        Ok(database)
    }

    fn make_template<F>(
        &self,
        session: &mut Session,
        key: &str,
        template: &str,
        prepare: F,
    ) -> Result<(), ServerError>
    where
        F: FnOnce(&str) -> Result<(), Box<dyn Error + Send + Sync>> + Send,
    {
        // Removes the remains of a process that died while preparing.
        session.run(&format!("DROP DATABASE IF EXISTS {template} WITH (FORCE)"))?;
        session.run(&format!("CREATE DATABASE {template} TEMPLATE template0"))?;
        let url = self.url(template);
        let outcome = std::thread::scope(|scope| scope.spawn(|| prepare(&url)).join());
        outcome
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .map_err(|source| ServerError::Prepare {
                key: key.to_owned(),
                source,
            })?;
        session.run(&format!(
            "ALTER DATABASE {template} ALLOW_CONNECTIONS false"
        ))?;
        session.run(&format!(
            "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid, 10000)) FROM pg_catalog.pg_stat_activity \
             WHERE datname = '{template}'"
        ))?;
        Ok(())
    }

    fn copy_database(
        &self,
        template: &str,
        options: &str,
        session: &mut Session,
    ) -> Result<TestDatabase, ServerError> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let number = NEXT_DATABASE.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}_{:x}", std::process::id(), now.as_nanos());
        session.run(&format!(
            "CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy {options}"
        ))?;
        Ok(TestDatabase {
            cluster: Arc::clone(&self.cluster),
            name,
        })
    }
}

/// A database of a [`PostgresServer`], which is removed when this value is dropped.
///
/// The server runs as long as it has any.
#[derive(Debug)]
pub struct TestDatabase {
    cluster: Arc<Cluster>,
    name: String,
}

impl TestDatabase {
    /// Returns the URL of the database over the Unix socket.
    #[must_use]
    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// Returns the database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::testing) fn socket(&self) -> PathBuf {
        self.cluster.socket()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A test may have stopped the server.
        if let Ok(mut session) = self.cluster.session() {
            let _ = session.run(&format!(
                "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                self.name
            ));
        }
    }
}

/// Checks whether a template exists and is complete.
fn is_template(session: &mut Session, template: &str) -> Result<bool, ServerError> {
    let statement =
        format!("SELECT datallowconn FROM pg_catalog.pg_database WHERE datname = '{template}'");
    Ok(session.run(&statement)?.as_deref() == Some("f"))
}
