//! One attempt to connect, and what its handshake has reached.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::socket::Socket;
use crate::Error;
use crate::error::innermost;

/// One attempt to connect, which keeps how far its handshake got.
#[derive(Clone)]
pub(crate) struct Attempt {
    make: MakeRustlsConnect,
    progress: Arc<Mutex<Progress>>,
}

#[derive(Default)]
enum Progress {
    /// There was none, or it has not ended.
    #[default]
    None,
    Done,
    Failed {
        advice: Option<&'static str>,
    },
}

fn set(progress: &Mutex<Progress>, to: Progress) {
    *progress.lock().unwrap_or_else(PoisonError::into_inner) = to;
}

impl Attempt {
    pub(super) fn new(make: MakeRustlsConnect) -> Self {
        Self {
            make,
            progress: Arc::default(),
        }
    }

    /// Returns the handshake with a server of this name.
    pub(crate) fn handshake(&self, name: &str) -> Handshake {
        let made = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.make.clone(), name);
        let inner = match made {
            Ok(inner) => inner,
            Err(never) => match never {},
        };
        let progress = Arc::clone(&self.progress);
        Handshake { inner, progress }
    }

    fn is(&self, wanted: fn(&Progress) -> bool) -> bool {
        wanted(&self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.is(|progress| matches!(progress, Progress::Failed { .. }))
    }

    pub(crate) fn has_succeeded(&self) -> bool {
        self.is(|progress| matches!(progress, Progress::Done))
    }

    /// Returns the error of a connection, with what to do about a handshake that rustls cannot
    /// finish.
    pub(crate) fn explain(&self, error: tokio_postgres::Error) -> Error {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        match &*progress {
            Progress::Failed {
                advice: Some(advice),
            } => Error::broken_connection(&format!("{}: {advice}", innermost(&error))),
            _ => Error::connection(error),
        }
    }
}

/// Returns a remedy for a server that rustls rejects and OpenSSL may accept.
fn advice(error: &io::Error) -> Option<&'static str> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let text = format!("{error:?}");
    Some(match error {
        rustls::Error::InvalidCertificate(_) if text.contains("UnsupportedCertVersion") => {
            "the server's certificate is one of X.509 version 1, which the async engine cannot verify; \
             issue it with version 3"
        }
        rustls::Error::InvalidCertificate(_) if text.contains("CaUsedAsEndEntity") => {
            "the server's certificate is marked as an authority's (CA:TRUE), which the async engine cannot verify \
             unless sslrootcert holds it; issue it with CA:FALSE"
        }
        rustls::Error::InvalidCertificate(_)
            if text.contains("UnsupportedSignatureAlgorithm") || text.contains("BadSignature") =>
        {
            "the certificates may be signed by a key that the async engine does not know, such as one on the curve P-521; \
             supported are P-256, P-384, Ed25519 and RSA of 2,048 to 8,192 bits"
        }
        rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure)
        | rustls::Error::PeerIncompatible(_) => {
            "the server's key may be one that the async engine does not know, such as one on the curve P-521; use a key \
             on P-256 or P-384, Ed25519, or RSA of 2,048 to 8,192 bits"
        }
        _ => return None,
    })
}

pub(in super::super) type Inner = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

pub(crate) struct Handshake {
    inner: Inner,
    progress: Arc<Mutex<Progress>>,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let outcome = self.inner.connect(socket).await;
            let progress = match &outcome {
                Ok(_) => Progress::Done,
                Err(error) => Progress::Failed {
                    advice: advice(error),
                },
            };
            set(&self.progress, progress);
            outcome
        })
    }
}
