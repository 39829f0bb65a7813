//! Opens the connections of the async engine, and ends what the server still does for a caller that
//! has gone.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_postgres::config::{ChannelBinding as DriverBinding, SslMode};
use tokio_postgres::tls::TlsConnect;
use tokio_postgres::{NoTls, Notification};

use super::cancel::Peer;
use super::patience::Origin;
use super::socket::Socket;
use crate::config::{ChannelBinding, Host, Session, Target, TlsMode, UNDERSTOOD_MESSAGES};
use crate::engine::connection::Connection;
use crate::engine::host_order::{HostOrder, fits, refused, rounds};
use crate::{Config, Error, Result};

/// The settings of every connection of a pool, read once.
pub(crate) struct Connector {
    target: Arc<Target>,
    /// All but the host and the TLS.
    driver: tokio_postgres::Config,
    tls: Tls,
    order: HostOrder,
    /// For each host.
    timeout: Option<Duration>,
    /// The SQL that every session begins with.
    settings: String,
}

/// The encryption of the connection.
#[derive(Clone)]
pub(crate) enum Tls {
    Off,
    #[cfg(feature = "tls")]
    On(super::tls::Connector),
}

/// The time for which a host or an address is tried alone, as RFC 8305 has it.
const HEAD_START: Duration = Duration::from_millis(250);

type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Connection>> + Send + 'a>>;
type Listener = Option<UnboundedSender<Notification>>;

impl Connector {
    /// # Errors
    /// - [`Error::InvalidInput`] if a setting is out of its range or a certificate cannot be read
    pub(crate) fn new(config: &Config) -> Result<Self> {
        config.check()?;
        config.target.check()?;
        let target = Arc::new(config.target.clone());
        let mode = if target.hosts.iter().all(Host::is_local) {
            TlsMode::Disable
        } else {
            target.tls.mode
        };
        let tls = match mode {
            TlsMode::Disable => Tls::Off,
            #[cfg(feature = "tls")]
            _ => Tls::On(super::tls::Connector::new(&target.tls)?),
            #[cfg(not(feature = "tls"))]
            TlsMode::Allow | TlsMode::Prefer => Tls::Off,
            #[cfg(not(feature = "tls"))]
            _ => return Err(Error::invalid("sslmode", "needs the feature `tls`")),
        };
        let mut settings = format!("{IN_UTC}; {}", config.settings());
        if !config.behind_pgbouncer {
            settings.push_str("; ");
            settings.push_str(UNDERSTOOD_MESSAGES);
        }
        Ok(Self {
            driver: driver(config),
            tls,
            order: HostOrder::new(&target),
            target,
            timeout: config.connect_timeout,
            settings,
        })
    }

    pub(crate) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        self.connect_for(None).await
    }

    /// Connects, and returns the connection with the receiver of its notifications.
    pub(crate) async fn connect_to_listen(
        &self,
    ) -> Result<(Connection, UnboundedReceiver<Notification>)> {
        let (listener, notifications) = unbounded_channel();
        Ok((self.connect_for(Some(listener)).await?, notifications))
    }

    /// Connects to the first host that answers and is what is asked for.
    async fn connect_for(&self, listener: Listener) -> Result<Connection> {
        let mut refusals = Vec::new();
        for &session in rounds(self.target.session) {
            let hosts = self.order.hosts();
            let mut attempts: Vec<Attempt<'_>> = Vec::new();
            for &index in &hosts {
                let host = &self.target.hosts[index];
                attempts.push(Box::pin(self.host(index, host, session, listener.clone())));
            }
            match first(attempts).await {
                Ok((at, connection)) => {
                    self.order.taken(hosts[at]);
                    return Ok(connection);
                }
                Err(errors) => {
                    let named = |(at, error): (usize, Error)| {
                        (self.target.hosts[hosts[at]].to_string(), error)
                    };
                    refusals = errors.into_iter().map(named).collect();
                    if refusals.iter().any(|(_, error)| error.is_lasting_refusal()) {
                        break;
                    }
                }
            }
        }
        Err(refused(refusals))
    }

    /// Connects to a host, by the first of its addresses that answers.
    async fn host(
        &self,
        index: usize,
        host: &Host,
        session: Session,
        listener: Listener,
    ) -> Result<Connection> {
        let opening = async {
            let addresses = addresses(host).await?;
            let mut attempts: Vec<Attempt<'_>> = Vec::new();
            for &address in &addresses {
                let opening = self.address(host, address, session, listener.clone());
                attempts.push(Box::pin(opening));
            }
            first(attempts).await.map_or_else(
                |errors| {
                    let named = |(at, error): (usize, Error)| {
                        let address = addresses.get(at).copied().flatten();
                        let address = address.map(|address| address.to_string());
                        (address.unwrap_or_else(|| host.to_string()), error)
                    };
                    Err(refused(errors.into_iter().map(named).collect()))
                },
                |(_, connection)| Ok(connection),
            )
        };
        let outcome = match self.timeout {
            None => opening.await,
            // The driver limits only how long a host may take to accept, not how long it may then
            // be silent.
            Some(timeout) => tokio::time::timeout(timeout, opening)
                .await
                .unwrap_or_else(|_| {
                    let message = format!("the server did not answer within {timeout:?}");
                    Err(Error::broken_connection(&message))
                }),
        };
        if let Err(error) = &outcome
            && !error.is_lasting_refusal()
        {
            self.order.failed(index);
        }
        outcome
    }

    /// Connects to an address, or to a socket of this machine where there is none.
    pub(super) async fn address(
        &self,
        host: &Host,
        address: Option<IpAddr>,
        session: Session,
        listener: Listener,
    ) -> Result<Connection> {
        let mut driver = self.driver.clone();
        driver.port(host.port);
        if let Some(password) = &host.password {
            driver.password(password);
        }
        let mut connection = match address {
            None => {
                // An abstract name begins with a zero where libpq writes an @.
                let path = match host.name.strip_prefix('@') {
                    Some(name) => format!("\0{name}"),
                    None => host.name.clone(),
                };
                let path = Path::new(&path).join(format!(".s.PGSQL.{}", host.port));
                driver.ssl_mode(SslMode::Disable);
                let socket = Socket::local(&path).await.map_err(Error::connection)?;
                let opened = open_with(&driver, socket, NoTls, listener).await;
                let mut connection = opened.map_err(Error::connection)?;
                connection.set_peer(Peer::Local(path));
                connection
            }
            Some(address) => {
                let name = match &self.tls {
                    Tls::Off => String::new(),
                    #[cfg(feature = "tls")]
                    Tls::On(tls) => tls.name_for(host, address)?,
                };
                let peer = SocketAddr::new(address, host.port);
                let opening = self.over_tcp(driver, &name, peer, listener);
                let mut connection = opening.await?;
                connection.set_peer(Peer::Tcp(peer, name));
                connection
            }
        };
        let host = host.clone();
        connection.origin = Some(Origin { host, address });
        let settings = &*self.settings;
        if session == Session::Any {
            connection
                .batch_execute(settings)
                .await
                .map_err(Error::connection)?;
        } else {
            let (is_standby, is_read_only) = connection
                .set_up_session(settings)
                .await
                .map_err(Error::connection)?;
            fits(session, is_standby, is_read_only)?;
        }
        Ok(connection)
    }

    async fn over_tcp(
        &self,
        mut driver: tokio_postgres::Config,
        name: &str,
        peer: SocketAddr,
        listener: Listener,
    ) -> Result<Connection> {
        match &self.tls {
            Tls::Off => {
                #[cfg(not(feature = "tls"))]
                let _ = name;
                driver.ssl_mode(SslMode::Disable);
                let socket = tcp(peer, &driver).await?;
                let opened = open_with(&driver, socket, NoTls, listener).await;
                opened.map_err(Error::connection)
            }
            #[cfg(feature = "tls")]
            Tls::On(tls) => self.over_tls(driver, tls, name, peer, listener).await,
        }
    }

    /// As libpq: `allow` and `prefer` try the other way once the first was refused.
    #[cfg(feature = "tls")]
    async fn over_tls(
        &self,
        mut driver: tokio_postgres::Config,
        tls: &super::tls::Connector,
        name: &str,
        peer: SocketAddr,
        listener: Listener,
    ) -> Result<Connection> {
        let mode = self.target.tls.mode;
        let mut plain = driver.clone();
        plain.ssl_mode(SslMode::Disable);
        if mode == TlsMode::Allow {
            let socket = tcp(peer, &plain).await?;
            match open_with(&plain, socket, NoTls, listener.clone()).await {
                Err(error) if is_refusal(&error) => {}
                opened => return opened.map_err(Error::connection),
            }
        }
        driver.ssl_mode(match mode {
            TlsMode::Allow | TlsMode::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        let attempt = tls.attempt();
        let socket = tcp(peer, &driver).await?;
        let handshake = attempt.handshake(name);
        let error = match open_with(&driver, socket, handshake, listener.clone()).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let may_be_plain = attempt.has_failed() || attempt.has_succeeded() && is_refusal(&error);
        let error = attempt.explain(error);
        if mode != TlsMode::Prefer || !may_be_plain {
            return Err(error);
        }
        let opening = async {
            let socket = tcp(peer, &plain).await?;
            let opened = open_with(&plain, socket, NoTls, listener).await;
            opened.map_err(Error::connection)
        };
        opening.await.map_err(|other| {
            refused(vec![
                ("with TLS".to_owned(), error),
                ("without".to_owned(), other),
            ])
        })
    }
}

/// As diesel sets it: for SQL that writes times as text.
const IN_UTC: &str = "SET TIME ZONE 'UTC'";

/// Returns the settings that do not depend on the host.
pub(crate) fn driver(config: &Config) -> tokio_postgres::Config {
    let target = &config.target;
    let mut driver = tokio_postgres::Config::new();
    driver
        .user(&target.user)
        .dbname(&target.database)
        .application_name(&config.application_name)
        .channel_binding(match target.channel_binding {
            ChannelBinding::Disable => DriverBinding::Disable,
            ChannelBinding::Prefer => DriverBinding::Prefer,
            ChannelBinding::Require => DriverBinding::Require,
        });
    let options = config.options();
    if !options.is_empty() {
        driver.options(options);
    }
    if let Some(timeout) = config.unacknowledged_timeout {
        driver.tcp_user_timeout(timeout);
    }
    driver.keepalives(config.keepalives.is_some());
    if let Some(keepalives) = config.keepalives {
        if let Some(idle) = keepalives.idle {
            driver.keepalives_idle(idle);
        }
        if let Some(interval) = keepalives.interval {
            driver.keepalives_interval(interval);
        }
        if let Some(count) = keepalives.count {
            driver.keepalives_retries(count);
        }
    }
    driver
}

/// Returns the addresses of a host; none for a socket of this machine.
async fn addresses(host: &Host) -> Result<Vec<Option<IpAddr>>> {
    if host.is_local() {
        return Ok(vec![None]);
    }
    if let Some(address) = host.address {
        return Ok(vec![Some(address)]);
    }
    let mut addresses = Vec::new();
    let found = tokio::net::lookup_host((&*host.name, host.port)).await;
    for address in found.map_err(Error::connection)? {
        if !addresses.contains(&Some(address.ip())) {
            addresses.push(Some(address.ip()));
        }
    }
    if addresses.is_empty() {
        return Err(Error::broken_connection("the host's name has no address"));
    }
    Ok(addresses)
}

/// Runs attempts until one succeeds, each from some time after the one before it, or from when one
/// fails. The others are dropped. A refusal that lasts ends those after it, as libpq goes on only
/// to the next host of one that could not be reached or is starting. Returns which it was, or all
/// errors.
async fn first(attempts: Vec<Attempt<'_>>) -> Result<(usize, Connection), Vec<(usize, Error)>> {
    let mut waiting: VecDeque<_> = attempts.into_iter().enumerate().collect();
    let mut running = Vec::new();
    let mut errors = Vec::new();
    loop {
        running.extend(waiting.pop_front());
        let next = ended(&mut running);
        let ended = if waiting.is_empty() {
            next.await
        } else {
            match tokio::time::timeout(HEAD_START, next).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some((at, Ok(connection))) => return Ok((at, connection)),
            Some((at, Err(error))) => {
                if error.is_lasting_refusal() {
                    waiting.clear();
                    running.retain(|&(other, _)| other < at);
                }
                errors.push((at, error));
            }
            None => {
                errors.sort_by_key(|&(at, _)| at);
                return Err(errors);
            }
        }
    }
}

/// Waits for the end of one of the attempts, and removes it. Returns `None` if there is none.
async fn ended(running: &mut Vec<(usize, Attempt<'_>)>) -> Option<(usize, Result<Connection>)> {
    poll_fn(|context| {
        let ended = running
            .iter_mut()
            .enumerate()
            .find_map(
                |(index, (_, attempt))| match attempt.as_mut().poll(context) {
                    Poll::Ready(outcome) => Some((index, outcome)),
                    Poll::Pending => None,
                },
            );
        match ended {
            Some((index, outcome)) => {
                let (at, _) = running.remove(index);
                Poll::Ready(Some((at, outcome)))
            }
            None if running.is_empty() => Poll::Ready(None),
            None => Poll::Pending,
        }
    })
    .await
}

/// Connects to an address.
async fn tcp(peer: SocketAddr, driver: &tokio_postgres::Config) -> Result<Socket> {
    Socket::tcp(peer, driver).await.map_err(Error::connection)
}

async fn open_with<T>(
    driver: &tokio_postgres::Config,
    socket: Socket,
    tls: T,
    listener: Listener,
) -> Result<Connection, tokio_postgres::Error>
where
    T: TlsConnect<Socket, Stream: Send + 'static, Future: Send> + Send,
{
    let (client, connection) = driver.connect_raw(socket, tls).await?;
    Ok(Connection::new(client, connection, listener))
}

/// Checks whether the server rejects the client's identity or authentication: SQLSTATE class 28.
#[cfg(feature = "tls")]
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error
        .code()
        .is_some_and(|code| code.code().starts_with("28"))
}
