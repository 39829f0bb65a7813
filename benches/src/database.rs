//! The server, its databases, and how each contender connects to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use sqlx::postgres::PgPoolOptions;
use tokio::runtime::Runtime;
use wundr_db::Config;
use wundr_db::testing::{PostgresServer, TestDatabase};

use crate::Outcome;

/// The size of every pool.
const CONNECTIONS: u32 = 2;

/// The settings of a server for write-heavy groups.
///
/// By default, PostgreSQL has 128 MB of shared buffers and 4 MB of WAL buffers. With these, two
/// connections that load rows would wait for each other to write the WAL.
const SETTINGS: [(&str, &str); 2] = [("shared_buffers", "1GB"), ("wal_buffers", "64MB")];

/// The design's SQL as written, which its own figures are measured with.
const DESIGN: &str = include_str!("../../tests/data/design.sql");

/// The servers and the runtime of the contenders.
pub struct World {
    pub runtime: Runtime,
    databases: BTreeMap<&'static str, Database>,
    server: PostgresServer,
}

/// A database that contains rows.
pub struct Database {
    url: String,
    _kept: TestDatabase,
}

impl World {
    pub fn start() -> Outcome<Self> {
        let server = SETTINGS
            .iter()
            .fold(PostgresServer::builder(), |server, (name, value)| {
                server.setting(*name, *value)
            })
            .start()?;
        eprintln!(
            "PostgreSQL {} with its data in {}",
            server.version(),
            server.data_dir().display()
        );
        Ok(Self {
            runtime: Runtime::new()?,
            databases: BTreeMap::new(),
            server,
        })
    }

    /// Returns the server.
    pub fn server(&self) -> &PostgresServer {
        &self.server
    }

    /// Returns a database of the crate's schema with the rows that `fill` writes. The first call
    /// with a name creates it.
    pub fn migrated(
        &mut self,
        name: &'static str,
        fill: impl FnOnce(&mut PgConnection) -> Outcome,
    ) -> Outcome<Arc<Connector>> {
        self.database(name, "migrated".to_owned(), fill, |url| {
            wundr_db::blocking::migrations::up(&Config::new(url)?)?;
            Ok(())
        })
    }

    /// Returns a database of the design's own schema with the rows that `fill` writes. The first
    /// call with a name creates it.
    pub fn designed(
        &mut self,
        name: &'static str,
        fill: impl FnOnce(&mut PgConnection) -> Outcome,
    ) -> Outcome<Arc<Connector>> {
        self.database(name, "the design".to_owned(), fill, |url| {
            Ok(PgConnection::establish(url)?.batch_execute(DESIGN)?)
        })
    }

    fn database(
        &mut self,
        name: &'static str,
        template: String,
        fill: impl FnOnce(&mut PgConnection) -> Outcome,
        prepare: impl FnOnce(&str) -> Outcome + Send,
    ) -> Outcome<Arc<Connector>> {
        if !self.databases.contains_key(name) {
            let database = self.server.create_database_from(&template, prepare)?;
            let mut connection = PgConnection::establish(&database.url())?;
            fill(&mut connection)?;
            // Neither happens automatically on this server.
            connection.batch_execute("VACUUM ANALYZE")?;
            connection.batch_execute("CHECKPOINT")?;
            let database = Database {
                url: database.url(),
                _kept: database,
            };
            self.databases.insert(name, database);
        }
        Ok(Arc::new(Connector {
            url: self.databases[name].url.clone(),
        }))
    }
}

/// Opens each contender's connections to one database.
pub struct Connector {
    url: String,
}

impl Connector {
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the connector of the same database for another role.
    pub fn as_role(&self, role: &str) -> Arc<Self> {
        let url = self.url.replace("//postgres@", &format!("//{role}@"));
        Arc::new(Self { url })
    }

    fn config(&self) -> Outcome<Config> {
        // Loading a hundred thousand rows may take longer than a statement of an application
        // should.
        let config = Config::new(&self.url)?.statement_timeout(None);
        Ok(config.max_connections(CONNECTIONS).max_lifetime(None))
    }

    pub fn wundr_async(&self) -> Outcome<wundr_db::Db> {
        Ok(wundr_db::Db::lazy(self.config()?)?)
    }

    pub fn wundr_blocking(&self) -> Outcome<wundr_db::blocking::Db> {
        Ok(wundr_db::blocking::Db::lazy(self.config()?)?)
    }

    pub fn tokio_postgres(&self, runtime: &Runtime) -> Outcome<Arc<tokio_postgres::Client>> {
        let connecting = tokio_postgres::connect(&self.url, tokio_postgres::NoTls);
        let (client, connection) = runtime.block_on(connecting)?;
        runtime.spawn(connection);
        Ok(Arc::new(client))
    }

    pub fn diesel_async(
        &self,
        runtime: &Runtime,
    ) -> Outcome<Arc<tokio::sync::Mutex<AsyncPgConnection>>> {
        let connection = runtime.block_on(AsyncPgConnection::establish(&self.url))?;
        Ok(Arc::new(tokio::sync::Mutex::new(connection)))
    }

    pub fn diesel(&self) -> Outcome<PgConnection> {
        Ok(PgConnection::establish(&self.url)?)
    }

    pub fn sqlx(&self, runtime: &Runtime) -> Outcome<sqlx::PgPool> {
        let options = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .test_before_acquire(false);
        Ok(runtime.block_on(options.connect(&self.url))?)
    }

    pub fn sea_orm(&self, runtime: &Runtime) -> Outcome<sea_orm::DatabaseConnection> {
        let mut options = sea_orm::ConnectOptions::new(&self.url);
        options
            .max_connections(CONNECTIONS)
            .test_before_acquire(false)
            .sqlx_logging(false);
        Ok(runtime.block_on(sea_orm::Database::connect(options))?)
    }
}
