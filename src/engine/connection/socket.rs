//! The socket of a connection, which is read to its end after a write has failed.
//!
//! A server that ends a session sends the reason and closes the connection. A client that writes
//! before it has read the reason receives an error of the write: "broken pipe". The reason waits
//! unread in the socket. tokio-postgres returns the first error of either direction, and drops the
//! socket.
//!
//! Like libpq, the socket therefore keeps the error of a write, and pretends that it has taken the
//! bytes. What the server has sent is read. After its end, or after [`LIMIT`], the error is that of
//! the write.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Handle;

/// The time for which what the server has sent before a write failed is waited for.
///
/// The kernel has it already, as a rule. Without the limit, a peer that has closed one direction
/// only would be waited for without an end.
const LIMIT: Duration = Duration::from_secs(1);

/// The socket of a connection.
pub(crate) struct Socket {
    stream: Stream,
    /// Boxed: a socket has it once at most.
    failed_write: Option<Box<FailedWrite>>,
}

enum Stream {
    Tcp(TcpStream),
    Local(UnixStream),
}

struct FailedWrite {
    error: io::Error,
    /// `None` outside a runtime, where nothing would end the wait.
    until: Option<Instant>,
}

impl FailedWrite {
    fn is_over(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() >= until)
    }

    /// Returns the error. The driver asks for it once, and drops the socket.
    fn error(&self) -> io::Error {
        match self.error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => self.error.kind().into(),
        }
    }
}

impl Socket {
    /// Connects to an address, with the keepalives and the limit of the settings.
    pub(super) async fn tcp(
        address: SocketAddr,
        settings: &tokio_postgres::Config,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        #[cfg(target_os = "linux")]
        if let Some(&limit) = settings.get_tcp_user_timeout() {
            socket.set_tcp_user_timeout(Some(limit))?;
        }
        if settings.get_keepalives() {
            let mut keepalive = TcpKeepalive::new().with_time(settings.get_keepalives_idle());
            if let Some(interval) = settings.get_keepalives_interval() {
                keepalive = keepalive.with_interval(interval);
            }
            if let Some(count) = settings.get_keepalives_retries() {
                keepalive = keepalive.with_retries(count);
            }
            socket.set_tcp_keepalive(&keepalive)?;
        }
        Ok(Self::of(Stream::Tcp(stream)))
    }

    /// Connects to a socket of this machine.
    pub(super) async fn local(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path).await?;
        Ok(Self::of(Stream::Local(stream)))
    }

    fn of(stream: Stream) -> Self {
        Self {
            stream,
            failed_write: None,
        }
    }

    /// Keeps the error of a write, and has the driver read once more when the limit is over.
    fn keep(&mut self, error: io::Error, context: &Context<'_>) {
        let runtime = Handle::try_current().ok();
        let until = runtime.map(|runtime| {
            let waker = context.waker().clone();
            runtime.spawn(async move {
                tokio::time::sleep(LIMIT).await;
                waker.wake();
            });
            Instant::now() + LIMIT
        });
        self.failed_write = Some(Box::new(FailedWrite { error, until }));
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let read = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Local(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let Some(failed) = &self.failed_write else {
            return read;
        };
        match read {
            Poll::Ready(Ok(())) if buffer.filled().len() > filled => Poll::Ready(Ok(())),
            Poll::Pending if !failed.is_over() => Poll::Pending,
            _ => Poll::Ready(Err(failed.error())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.failed_write.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Local(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        match written {
            Poll::Ready(Err(error)) => {
                self.keep(error, context);
                Poll::Ready(Ok(bytes.len()))
            }
            written => written,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Local(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Local(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
