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

/// What a server is given that has much to write; by itself it has 128 MB, and 4 MB for write-ahead log, for whose way
/// to the disk two connections that load rows would wait in turn.
const SETTINGS: [(&str, &str); 2] = [("shared_buffers", "1GB"), ("wal_buffers", "64MB")];

/// The design's SQL as it is written: what its own figures are taken of.
const DESIGN: &str = include_str!("../../tests/data/design.sql");

/// Where the contenders live.
pub struct World {
    pub runtime: Runtime,
    databases: BTreeMap<&'static str, Database>,
    server: PostgresServer,
}

/// A database with rows in it.
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

    /// The server.
    pub fn server(&self) -> &PostgresServer {
        &self.server
    }

    /// The crate's schema with the rows that `fill` writes; made by the first call with this name.
    pub fn migrated(
        &mut self,
        name: &'static str,
        fill: impl FnOnce(&mut PgConnection) -> Outcome,
    ) -> Outcome<Arc<Connector>> {
        self.database(name, "migrated".to_owned(), fill, |url| {
            wundr_db::migrations::blocking::up(&Config::new(url)?)?;
            Ok(())
        })
    }

    /// The design's own schema with the rows that `fill` writes; made by the first call with this name.
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
            // The server does neither by itself.
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

    fn config(&self) -> Outcome<Config> {
        // Loading a hundred thousand rows may take longer than a statement of an application should.
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
