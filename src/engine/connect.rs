//! Opens the connections of the async engine, and ends what the server still does for a caller that has gone.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, NoTls, Notification, Socket};

use crate::config::{TlsMode, UNDERSTOOD_MESSAGES};
use crate::engine::connection::Connection;
use crate::error::innermost;
use crate::{Config, Error, Result};

/// What every connection of a pool is opened with: read once, not for each connection.
pub(crate) struct Connector {
    driver: tokio_postgres::Config,
    tls: Tls,
    /// For all of the hosts that the URL names.
    timeout: Duration,
    /// Session settings stay with the connection.
    is_direct: bool,
}

/// How bytes are kept from others on their way.
#[derive(Clone)]
pub(crate) enum Tls {
    Off,
    #[cfg(feature = "tls")]
    On(tokio_postgres_rustls::MakeRustlsConnect),
}

impl Connector {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let mut driver: tokio_postgres::Config = config
            .url(false)
            .parse()
            .map_err(|error| Error::invalid("url", innermost(&error)))?;
        // As libpq: there is no TLS on a socket of this machine, whatever `sslmode` says.
        let is_local = !driver.get_hosts().is_empty()
            && driver
                .get_hosts()
                .iter()
                .all(|host| matches!(host, Host::Unix(_)));
        let mode = if is_local {
            TlsMode::Disable
        } else {
            config.tls
        };
        driver.ssl_mode(match mode {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        let tls = match mode {
            TlsMode::Disable => Tls::Off,
            #[cfg(feature = "tls")]
            _ => Tls::On(super::tls::connector(config)?),
            #[cfg(not(feature = "tls"))]
            TlsMode::Prefer => Tls::Off,
            #[cfg(not(feature = "tls"))]
            _ => return Err(Error::invalid("sslmode", "needs the feature `tls`")),
        };
        let hosts = u32::try_from(driver.get_hosts().len())
            .unwrap_or(u32::MAX)
            .max(1);
        Ok(Self {
            driver,
            tls,
            timeout: config.connect_timeout.saturating_mul(hosts),
            is_direct: !config.behind_pgbouncer,
        })
    }

    pub(crate) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        self.connect_for(None).await
    }

    /// A connection, and what it hears once it listens.
    pub(crate) async fn connect_to_listen(
        &self,
    ) -> Result<(Connection, UnboundedReceiver<Notification>)> {
        let (listener, heard) = unbounded_channel();
        Ok((self.connect_for(Some(listener)).await?, heard))
    }

    async fn connect_for(
        &self,
        listener: Option<UnboundedSender<Notification>>,
    ) -> Result<Connection> {
        // The driver limits only how long a host may take to accept, not how long it may then be silent.
        tokio::time::timeout(self.timeout, self.open(listener))
            .await
            .unwrap_or_else(|_| {
                let message = format!("the server did not answer within {:?}", self.timeout);
                Err(Error::broken_connection(&message))
            })
    }

    async fn open(&self, listener: Option<UnboundedSender<Notification>>) -> Result<Connection> {
        let mut connection = match self.tls.clone() {
            Tls::Off => self.open_with(NoTls, listener).await?,
            #[cfg(feature = "tls")]
            Tls::On(tls) => self.open_with(tls, listener).await?,
        };
        let settings = if self.is_direct {
            format!("{IN_UTC}; {UNDERSTOOD_MESSAGES}")
        } else {
            IN_UTC.to_owned()
        };
        connection
            .batch_execute(&settings)
            .await
            .map_err(Error::connection)?;
        Ok(connection)
    }

    async fn open_with<T>(
        &self,
        tls: T,
        listener: Option<UnboundedSender<Notification>>,
    ) -> Result<Connection>
    where
        T: MakeTlsConnect<Socket, TlsConnect: Send, Stream: Send + 'static> + Send,
        <T::TlsConnect as tokio_postgres::tls::TlsConnect<Socket>>::Future: Send,
    {
        let (client, connection) = self.driver.connect(tls).await.map_err(Error::connection)?;
        Ok(Connection::new(client, connection, listener))
    }
}

/// As diesel sets it: for SQL that writes times as text.
const IN_UTC: &str = "SET TIME ZONE 'UTC'";

impl Tls {
    /// Asks the server to end a statement. A server that demands TLS for its connections is asked over TLS.
    pub(crate) async fn cancel(self, token: CancelToken) -> Result<(), tokio_postgres::Error> {
        match self {
            Self::Off => token.cancel_query(NoTls).await,
            #[cfg(feature = "tls")]
            Self::On(tls) => token.cancel_query(tls).await,
        }
    }
}

/// A connection outside any pool.
#[cfg(feature = "migrations")]
pub(crate) async fn connect(config: &Config) -> Result<Connection> {
    Connector::new(config)?.connect().await
}
