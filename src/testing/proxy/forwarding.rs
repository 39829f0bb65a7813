//! The connections of a proxy, each forwarded by two threads.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use super::{POLL, ProxyMode, Upstream, lock, next_random};
use crate::testing::ServerError;
use crate::testing::recorder::{ClientMessages, Recording};

/// The number of bytes that are read ahead on a silent connection, to detect that its other end was
/// closed.
const READ_AHEAD: usize = 256 * 1024;

/// The silence after which a client's message counts as complete.
const QUIET: Duration = Duration::from_millis(50);

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The state that a proxy shares with the threads of its connections.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<(ProxyMode, Upstream)>,
    /// Receives the statements of all connections.
    pub(super) recording: Option<Arc<Recording>>,
    pub(super) connections: Mutex<Vec<Weak<Connection>>>,
    pub(super) accepted: AtomicU64,
    pub(super) swallowed: AtomicU64,
    /// Makes the accepting thread end.
    pub(super) closing: AtomicBool,
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
        let mut messages = self.recording.as_ref().map(ClientMessages::new);
        loop {
            // Before the server has them, so that a statement with a response is recorded.
            if let Some(messages) = &mut messages {
                messages.take(&held.bytes);
            }
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
pub(super) struct Connection {
    client: Stream,
    server: OnceLock<Stream>,
    number: u64,
    /// One side has closed the connection.
    pub(super) ended: AtomicBool,
    /// The proxy has closed the connection.
    cut: AtomicBool,
    /// The server's bytes are no longer forwarded.
    swallow: AtomicBool,
}

impl Connection {
    pub(super) fn close(&self) {
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

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("wundr-db-proxy".to_owned())
        .spawn(work)
}

/// Accepts connections on a thread of their own.
pub(super) fn accept_on(
    listener: TcpListener,
    shared: &Arc<Shared>,
) -> Result<JoinHandle<()>, ServerError> {
    let shared = Arc::clone(shared);
    spawn(move || shared.accept(&listener)).map_err(|source| ServerError::Io {
        action: "start a thread for a proxy".to_owned(),
        source,
    })
}

/// Returns a random length. Each power of two is equally likely.
fn piece_length(random: &mut u64) -> usize {
    let value = next_random(random);
    let below = 1_u64 << (value % 12);
    usize::try_from(1 + (value >> 8) % below).unwrap_or(1)
}
