//! Requests to end a statement.
//!
//! tokio-postgres closes the connection of such a request as soon as the request is written. That
//! suffices for PostgreSQL. PgBouncer forwards a request over a connection of its own and gives up
//! if its client closes first. Version 1.18 then sends the outcome to a later client that has taken
//! the place of the first, and closes the connection of that one. As in libpq, the server therefore
//! closes the connection.
//!
//! The connection of the statement stays open until then: PgBouncer knows the statement by its
//! client, and forwards nothing for a client that has gone. The server would execute the statement
//! to its end.

#[cfg(feature = "tls")]
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
#[cfg(feature = "tls")]
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, NoTls};

use super::connect::Tls;
use super::driver::Opened;
use crate::{Error, Result};

/// The address of the server of a connection.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// The path of a socket of this machine.
    Local(PathBuf),
    /// An address, and the name that the server's certificate must prove. Without TLS the name is
    /// empty.
    Tcp(SocketAddr, String),
}

/// A connection that was abandoned, and the request to end its statement. Dropped, it closes the
/// connection.
pub(crate) struct Cancellation {
    pub(super) token: CancelToken,
    /// `None` if the connection was not opened by a connector.
    pub(super) peer: Option<Peer>,
    /// `None` if the connection is closed already.
    pub(super) _io: Option<Opened>,
}

impl Cancellation {
    /// Asks the server to end the statement, and waits until it has read the request. A server that
    /// demands TLS for its connections is asked over TLS.
    pub(crate) async fn send(&mut self, tls: &Tls) -> Result<()> {
        let token = &self.token;
        let sent = match &self.peer {
            None => return Ok(()),
            Some(Peer::Local(path)) => {
                let stream = UnixStream::connect(path).await.map_err(Error::connection)?;
                token.cancel_query_raw(UntilEnd(stream), NoTls).await
            }
            #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "for TLS"))]
            Some(Peer::Tcp(address, name)) => {
                let stream = TcpStream::connect(address).await;
                let stream = UntilEnd(stream.map_err(Error::connection)?);
                match tls {
                    Tls::Off => token.cancel_query_raw(stream, NoTls).await,
                    #[cfg(feature = "tls")]
                    Tls::On(tls) => {
                        let handshake = Handshake(tls.handshake(name));
                        token.cancel_query_raw(stream, handshake).await
                    }
                }
            }
        };
        sent.map_err(Error::connection)
    }
}

/// A stream that is not shut down before the server has closed it.
struct UntilEnd<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for UntilEnd<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UntilEnd<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut bytes = [0; 64];
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer));
            // The server has read the request in either case. It responds with nothing.
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(feature = "tls")]
impl<S: TlsStream + Unpin> TlsStream for UntilEnd<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

/// A TLS handshake whose stream is not shut down before the server has closed it.
#[cfg(feature = "tls")]
struct Handshake<C>(C);

#[cfg(feature = "tls")]
impl<S, C> TlsConnect<S> for Handshake<C>
where
    C: TlsConnect<S, Future: Send + 'static>,
{
    type Stream = UntilEnd<C::Stream>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, C::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let handshake = self.0.connect(stream);
        Box::pin(async move { handshake.await.map(UntilEnd) })
    }
}
