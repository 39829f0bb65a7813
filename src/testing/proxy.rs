//! A proxy between a client and a server that simulates network faults.

mod forwarding;

use super::ServerError;
use super::postgres::{PostgresServer, TestDatabase, encode};
use super::recorder::Recording;
use super::redis::RedisServer;
use forwarding::{Shared, accept_on};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime};

/// The interval at which a held connection checks for the end of the silence.
const POLL: Duration = Duration::from_millis(5);

/// The time for which another program may use the port when the proxy listens again.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);

/// The range of ports. It is below the usual range of ports for outgoing connections, so that the
/// port of a proxy that rejects connections is not assigned in the meantime.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The address of the server behind a [`Proxy`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Upstream {
    /// A TCP port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for Upstream {
    fn from(address: SocketAddr) -> Self {
        Upstream::Tcp(address)
    }
}

impl From<&PostgresServer> for Upstream {
    fn from(server: &PostgresServer) -> Self {
        Upstream::Unix(server.socket())
    }
}

impl From<&TestDatabase> for Upstream {
    fn from(database: &TestDatabase) -> Self {
        Upstream::Unix(database.socket())
    }
}

impl From<&RedisServer> for Upstream {
    fn from(server: &RedisServer) -> Self {
        Upstream::Unix(server.socket())
    }
}

impl From<&Proxy> for Upstream {
    fn from(proxy: &Proxy) -> Self {
        Upstream::Tcp(proxy.address)
    }
}

/// The behavior of a [`Proxy`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyMode {
    /// Accepts connections and forwards all bytes.
    #[default]
    Pass,
    /// Accepts connections and keeps the open ones, but forwards nothing in either direction,
    /// including the end of a connection.
    ///
    /// This looks like a server whose processes are stopped. Bytes that are sent meanwhile are
    /// forwarded when another mode is set.
    Silent,
    /// Rejects new connections, by closing the listener. Open connections continue;
    /// [`cut`](Proxy::cut) ends them.
    Refuse,
    /// Forwards all bytes until a client sends bytes that contain this text.
    ///
    /// These bytes are forwarded, but nothing of the server's response is. When the server has
    /// processed what it received, the client's connection is closed.
    ///
    /// The text is searched for in the raw bytes. A prepared statement is therefore not found by
    /// its SQL when it is executed again. `COMMIT` finds the end of a transaction of both engines.
    SwallowAnswerTo(String),
    /// Forwards the server's bytes in pieces of 1 to 2048 bytes with a pause after each.
    ///
    /// The lengths of the pieces are determined by the seed and the number of the connection.
    Split {
        /// The pause after each piece.
        pause: Duration,
        /// The seed of the lengths.
        seed: u64,
    },
}

impl ProxyMode {
    /// Returns the mode that swallows the response to `COMMIT`: the transaction is committed, but
    /// its client cannot detect that.
    #[must_use]
    pub fn swallow_commit() -> Self {
        ProxyMode::SwallowAnswerTo("COMMIT".to_owned())
    }
}

/// A TCP proxy in front of a server, which simulates a failing network or host.
///
/// It listens on a free port of 127.0.0.1, which any user of the machine can reach. It forwards
/// bytes, so it works with PostgreSQL, Redis and any other server. It starts in
/// [`ProxyMode::Pass`]. The mode can be changed at any time and also applies to open connections.
/// Dropping the proxy closes all its connections.
///
/// ```no_run
/// use wundr_db::testing::{PostgresServer, Proxy, ProxyMode};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = PostgresServer::shared()?;
/// let database = server.create_database()?;
/// let proxy = Proxy::start(server)?;
/// println!("connect to {}", proxy.url_of(&database));
/// // The server seems to hang:
/// proxy.set(ProxyMode::Silent)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// Starts a proxy in front of a server, which need not run yet.
    ///
    /// # Errors
    /// - [`ServerError::Io`] if the proxy cannot listen on any port
    pub fn start(upstream: impl Into<Upstream>) -> Result<Self, ServerError> {
        Self::start_with(upstream.into(), None)
    }

    /// Starts a proxy in front of a PostgreSQL server that records the statements of its clients.
    pub(super) fn start_recording(
        upstream: impl Into<Upstream>,
        recording: Arc<Recording>,
    ) -> Result<Self, ServerError> {
        Self::start_with(upstream.into(), Some(recording))
    }

    fn start_with(
        upstream: Upstream,
        recording: Option<Arc<Recording>>,
    ) -> Result<Self, ServerError> {
        let listener = listen_anywhere()?;
        let address = listener
            .local_addr()
            .map_err(listening(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
        let shared = Arc::new(Shared {
            state: Mutex::new((ProxyMode::Pass, upstream)),
            recording,
            connections: Mutex::default(),
            accepted: AtomicU64::new(0),
            swallowed: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        });
        let proxy = Self {
            acceptor: Mutex::new(Some(accept_on(listener, &shared)?)),
            shared,
            address,
        };
        Ok(proxy)
    }

    /// Changes the mode.
    ///
    /// After [`Refuse`](ProxyMode::Refuse), the proxy listens on the same port again. When this
    /// call returns, the new mode applies to every byte that is read and to every new connection.
    ///
    /// # Errors
    /// - [`ServerError::Io`] if another program has taken the port while the proxy rejected
    ///   connections
    pub fn set(&self, mode: ProxyMode) -> Result<(), ServerError> {
        let mut acceptor = lock(&self.acceptor);
        if mode == ProxyMode::Refuse {
            self.close_listener(&mut acceptor);
        } else if acceptor.is_none() {
            let deadline = Instant::now() + LISTEN_WITHIN;
            let listener = loop {
                match TcpListener::bind(self.address) {
                    Ok(listener) => break listener,
                    Err(error)
                        if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline =>
                    {
                        sleep(POLL);
                    }
                    Err(error) => return Err(listening(self.address)(error)),
                }
            };
            self.shared.closing.store(false, Ordering::SeqCst);
            lock(&self.shared.state).0 = mode;
            *acceptor = Some(accept_on(listener, &self.shared)?);
            return Ok(());
        }
        lock(&self.shared.state).0 = mode;
        Ok(())
    }

    /// Returns the mode.
    #[must_use]
    pub fn mode(&self) -> ProxyMode {
        lock(&self.shared.state).0.clone()
    }

    /// Connects new clients to another server. Open connections keep theirs; [`cut`](Self::cut)
    /// ends them.
    pub fn lead_to(&self, upstream: impl Into<Upstream>) {
        lock(&self.shared.state).1 = upstream.into();
    }

    /// Closes all open connections, on both sides. The mode does not change.
    pub fn cut(&self) {
        for connection in lock(&self.shared.connections)
            .iter()
            .filter_map(Weak::upgrade)
        {
            connection.close();
        }
    }

    /// Returns the address that clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the port that clients connect to, of 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the URL of a PostgreSQL database through this proxy.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres@{}/{}",
            self.address,
            encode(database.as_bytes())
        )
    }

    /// Returns the URL of a test's database through this proxy.
    ///
    /// This does not change the server that the proxy connects to.
    #[must_use]
    pub fn url_of(&self, database: &TestDatabase) -> String {
        self.url(database.name())
    }

    /// Returns the URL of a Redis server through this proxy, with the server's password.
    ///
    /// This does not change the server that the proxy connects to.
    #[must_use]
    pub fn url_of_redis(&self, server: &RedisServer) -> String {
        server.url_at(self.address)
    }

    /// Returns the number of connections that were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Returns the number of connections that neither side has closed.
    #[must_use]
    pub fn open(&self) -> usize {
        lock(&self.shared.connections)
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|connection| !connection.ended.load(Ordering::SeqCst))
            .count()
    }

    /// Returns the number of responses swallowed so far in [`ProxyMode::SwallowAnswerTo`].
    #[must_use]
    pub fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::SeqCst)
    }

    fn close_listener(&self, acceptor: &mut Option<JoinHandle<()>>) {
        let Some(thread) = acceptor.take() else {
            return;
        };
        self.shared.closing.store(true, Ordering::SeqCst);
        while !thread.is_finished() {
            // Wakes the thread, which waits for a connection.
            let _ = TcpStream::connect_timeout(&self.address, POLL);
            sleep(Duration::from_millis(1));
        }
        let _ = thread.join();
        // A child process holds a copy of every socket until it executes its program.
        let deadline = Instant::now() + LISTEN_WITHIN;
        while TcpStream::connect_timeout(&self.address, POLL).is_ok() && Instant::now() < deadline {
            sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close_listener(&mut lock(&self.acceptor));
        self.cut();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listening(address: SocketAddr) -> impl Fn(io::Error) -> ServerError {
    move |source| ServerError::Io {
        action: format!("listen on {address}"),
        source,
    }
}

fn listen_anywhere() -> Result<TcpListener, ServerError> {
    const ATTEMPTS: u32 = 100;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let mut random = u64::from(now.subsec_nanos()) << 32 ^ u64::from(std::process::id());
    for _ in 0..ATTEMPTS {
        let width = u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(next_random(&mut random) % width).unwrap_or(0);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener);
        }
    }
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    TcpListener::bind(any).map_err(listening(any))
}

/// Returns the next number of the SplitMix64 generator.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut value = *state;
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
