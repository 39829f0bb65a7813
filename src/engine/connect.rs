//! Opens a connection of the async engine, with TLS where the URL asks for it.

use diesel_async::AsyncPgConnection;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{NoTls, Socket};

use crate::config::TlsMode;
use crate::error::innermost;
use crate::{Config, Error, Result};

pub(crate) async fn connect(config: &Config) -> Result<AsyncPgConnection> {
    let mut driver: tokio_postgres::Config = config
        .url(false)
        .parse()
        .map_err(|error| Error::invalid("url", innermost(&error)))?;
    driver.ssl_mode(match config.tls {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
    });
    match config.tls {
        TlsMode::Disable => open(&driver, NoTls).await,
        #[cfg(feature = "tls")]
        _ => open(&driver, super::tls::connector(config)?).await,
        #[cfg(not(feature = "tls"))]
        TlsMode::Prefer => open(&driver, NoTls).await,
        #[cfg(not(feature = "tls"))]
        _ => Err(Error::invalid("sslmode", "needs the feature `tls`")),
    }
}

async fn open<T>(driver: &tokio_postgres::Config, tls: T) -> Result<AsyncPgConnection>
where
    T: MakeTlsConnect<Socket, TlsConnect: Send, Stream: Send + 'static> + Send,
    <T::TlsConnect as tokio_postgres::tls::TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = driver.connect(tls).await.map_err(refused)?;
    AsyncPgConnection::try_from_client_and_connection(client, connection)
        .await
        .map_err(Error::connection)
}

fn refused(error: tokio_postgres::Error) -> Error {
    let message = innermost(&error);
    if message.contains("unsupported startup parameter") {
        return Error::Connection {
            message: format!("{message}: this is a PgBouncer, use Config::behind_pgbouncer"),
            source: Some(Box::new(error)),
        };
    }
    Error::connection(error)
}
