//! A proxy between a client and a server that simulates network faults.

use super::ServerError;
use super::postgres::{PostgresServer, TestDatabase, encode};
use super::redis::RedisServer;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime};

/// The interval at which a held connection checks for the end of the silence.
const POLL: Duration = Duration::from_millis(5);

/// The number of bytes that are read ahead on a silent connection, to detect that its other end was
/// closed.
const READ_AHEAD: usize = 256 * 1024;

/// The silence after which a client's message counts as complete.
const QUIET: Duration = Duration::from_millis(50);

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

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
    /// [`ServerError::Io`] if the proxy cannot listen on any port.
    pub fn start(upstream: impl Into<Upstream>) -> Result<Self, ServerError> {
        let listener = listen_anywhere()?;
        let address = listener
            .local_addr()
            .map_err(listening(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
        let shared = Arc::new(Shared {
            state: Mutex::new((ProxyMode::Pass, upstream.into())),
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
    /// [`ServerError::Io`] if another program has taken the port while the proxy rejected
    /// connections.
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

#[derive(Debug)]
struct Shared {
    state: Mutex<(ProxyMode, Upstream)>,
    connections: Mutex<Vec<Weak<Connection>>>,
    accepted: AtomicU64,
    swallowed: AtomicU64,
    /// Makes the accepting thread end.
    closing: AtomicBool,
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let accepted = listener.accept();
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            let Ok((client, _)) = accepted else {
                // The process has no free file descriptor, or the client has already disconnected.
                sleep(POLL);
                continue;
            };
            let number = self.accepted.fetch_add(1, Ordering::SeqCst);
            let connection = Arc::new(Connection {
                client: Stream::Tcp(client),
                server: OnceLock::new(),
                number,
                ended: AtomicBool::new(false),
                cut: AtomicBool::new(false),
                swallow: AtomicBool::new(false),
            });
            {
                let mut connections = lock(&self.connections);
                connections.retain(|connection| connection.strong_count() > 0);
                connections.push(Arc::downgrade(&connection));
            }
            let shared = Arc::clone(self);
            // A connection without a thread is closed.
            let _ = spawn(move || shared.serve(&connection));
        }
    }

    fn serve(self: &Arc<Self>, connection: &Arc<Connection>) {
        let _ = connection.client.set_no_delay();
        let mut first = Held::default();
        self.hold(connection, &connection.client, &mut first);
        let upstream = lock(&self.state).1.clone();
        if !connection.cut.load(Ordering::SeqCst)
            && let Ok(server) = Stream::connect(&upstream)
        {
            let _ = server.set_no_delay();
            let server = connection.server.get_or_init(|| server);
            let (shared, other) = (Arc::clone(self), Arc::clone(connection));
            // A cut before the server was set could not close the server's side.
            if !connection.cut.load(Ordering::SeqCst)
                && spawn(move || {
                    if let Some(server) = other.server.get() {
                        let _ = shared.down(&other, server);
                    }
                    other.close();
                })
                .is_ok()
                && self.up(connection, server, first).is_ok()
            {
                return;
            }
        }
        connection.close();
    }

    /// Forwards what the client sends until it closes its side.
    fn up(&self, connection: &Connection, server: &Stream, mut held: Held) -> io::Result<()> {
        // The end of what was forwarded, for a text that arrives in two parts.
        let mut before = Vec::new();
        loop {
            if !held.bytes.is_empty() {
                let text = match &lock(&self.state).0 {
                    ProxyMode::SwallowAnswerTo(text) => text.clone().into_bytes(),
                    _ => Vec::new(),
                };
                before.extend_from_slice(&held.bytes);
                let found = !text.is_empty() && before.windows(text.len()).any(|part| part == text);
                before.drain(..before.len().saturating_sub(text.len().saturating_sub(1)));
                if found {
                    connection.swallow.store(true, Ordering::SeqCst);
                    self.swallowed.fetch_add(1, Ordering::SeqCst);
                }
                server.write_all(&held.bytes)?;
                held.bytes.clear();
                if found {
                    // The message may arrive in several parts.
                    let _ = connection.client.set_read_timeout(Some(QUIET));
                    loop {
                        connection.client.read_more(&mut held);
                        if held.bytes.is_empty() {
                            break;
                        }
                        server.write_all(&held.bytes)?;
                        held.bytes.clear();
                    }
                    // The server ends the connection after processing what it received.
                    return server.shutdown(Shutdown::Write);
                }
            }
            if held.end {
                return server.shutdown(Shutdown::Write);
            }
            connection.client.read_more(&mut held);
            if held.end {
                connection.ended.store(true, Ordering::SeqCst);
            }
            self.hold(connection, &connection.client, &mut held);
            if connection.cut.load(Ordering::SeqCst) {
                return Err(ErrorKind::ConnectionAborted.into());
            }
        }
    }

    /// Forwards what the server sends until it closes the connection.
    fn down(&self, connection: &Connection, server: &Stream) -> io::Result<()> {
        let mut held = Held::default();
        let mut random = 0;
        let mut last_seed = None;
        loop {
            server.read_more(&mut held);
            self.hold(connection, server, &mut held);
            if connection.cut.load(Ordering::SeqCst) {
                return Ok(());
            }
            let split = match lock(&self.state).0 {
                ProxyMode::Split { pause, seed } => Some((pause, seed)),
                _ => None,
            };
            if connection.swallow.load(Ordering::SeqCst) {
                held.bytes.clear();
            } else if let Some((pause, seed)) = split {
                if last_seed.replace(seed) != Some(seed) {
                    random = seed ^ connection.number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                }
                let mut rest = held.bytes.as_slice();
                while !rest.is_empty() {
                    let (piece, more) = rest.split_at(piece_length(&mut random).min(rest.len()));
                    connection.client.write_all(piece)?;
                    rest = more;
                    sleep(pause);
                }
            } else {
                connection.client.write_all(&held.bytes)?;
            }
            held.bytes.clear();
            if held.end {
                return Ok(());
            }
        }
    }

    /// Waits while the proxy is silent, and continues to read, to detect the end of the connection.
    fn hold(&self, connection: &Connection, from: &Stream, held: &mut Held) {
        let silent =
            || lock(&self.state).0 == ProxyMode::Silent && !connection.cut.load(Ordering::SeqCst);
        if !silent() {
            return;
        }
        let _ = from.set_read_timeout(Some(POLL));
        while silent() {
            if held.end || held.bytes.len() >= READ_AHEAD {
                sleep(POLL);
                continue;
            }
            from.read_more(held);
            if held.end {
                connection.ended.store(true, Ordering::SeqCst);
            }
        }
        let _ = from.set_read_timeout(None);
    }
}

/// A client and its server. The sockets are closed when both threads have ended.
#[derive(Debug)]
struct Connection {
    client: Stream,
    server: OnceLock<Stream>,
    number: u64,
    /// One side has closed the connection.
    ended: AtomicBool,
    /// The proxy has closed the connection.
    cut: AtomicBool,
    /// The server's bytes are no longer forwarded.
    swallow: AtomicBool,
}

impl Connection {
    fn close(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.ended.store(true, Ordering::SeqCst);
        let _ = self.client.shutdown(Shutdown::Both);
        if let Some(server) = self.server.get() {
            let _ = server.shutdown(Shutdown::Both);
        }
    }
}

/// The bytes that were read and not yet forwarded.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    /// True if nothing follows.
    end: bool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(upstream: &Upstream) -> io::Result<Self> {
        Ok(match upstream {
            Upstream::Tcp(address) => {
                Stream::Tcp(TcpStream::connect_timeout(address, CONNECT_WITHIN)?)
            }
            Upstream::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
        })
    }

    fn set_no_delay(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_nodelay(true),
            Stream::Unix(_) => Ok(()),
        }
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(timeout),
            Stream::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }

    /// Reads once. An error counts as the end, unless it is that of a time limit.
    fn read_more(&self, held: &mut Held) {
        let mut buffer = [0; 16 * 1024];
        let result = match self {
            Stream::Tcp(stream) => (&mut &*stream).read(&mut buffer),
            Stream::Unix(stream) => (&mut &*stream).read(&mut buffer),
        };
        match result {
            Ok(0) => held.end = true,
            Ok(length) => held
                .bytes
                .extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) => {
                held.end = !matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                );
            }
        }
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).write_all(bytes),
            Stream::Unix(stream) => (&mut &*stream).write_all(bytes),
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("wundr-db-proxy".to_owned())
        .spawn(work)
}

fn accept_on(listener: TcpListener, shared: &Arc<Shared>) -> Result<JoinHandle<()>, ServerError> {
    let shared = Arc::clone(shared);
    spawn(move || shared.accept(&listener)).map_err(|source| ServerError::Io {
        action: "start a thread for a proxy".to_owned(),
        source,
    })
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

/// Returns a random length. Each power of two is equally likely.
fn piece_length(random: &mut u64) -> usize {
    let value = next_random(random);
    let below = 1_u64 << (value % 12);
    usize::try_from(1 + (value >> 8) % below).unwrap_or(1)
}

/// Returns the next number of the SplitMix64 generator.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut value = *state;
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
