//! TLS as libpq's parameters have it, on rustls.

use std::fmt::Display;
use std::fs;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName,
    SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres::Socket;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::certificate::{Certificate, DNS_NAME, IP_ADDRESS};
use crate::config::{Host, Root, TlsMode, TlsSettings, TlsVersion};
use crate::error::innermost;
use crate::{Error, Result};

/// Makes connections over TLS.
#[derive(Clone)]
pub(crate) struct Connector {
    make: MakeRustlsConnect,
    checks_name: bool,
    names_server: bool,
}

impl Connector {
    pub(crate) fn new(settings: &TlsSettings) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = Chain::of(settings, &provider)?;
        let checks_name = settings.mode == TlsMode::VerifyFull;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions(settings)?)
            .map_err(Error::connection)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier {
                provider: Arc::clone(&provider),
                chain,
                checks_name,
            }));
        let mut client = match own_certificate(settings, &provider)? {
            Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
            None => builder.with_no_client_auth(),
        };
        client.enable_sni = settings.names_server;
        Ok(Self {
            make: MakeRustlsConnect::new(client),
            checks_name,
            names_server: settings.names_server,
        })
    }

    /// Returns the name of the server, which its certificate must prove if verification is on.
    pub(crate) fn name_for(&self, host: &Host, address: IpAddr) -> Result<String> {
        let name = ServerName::try_from(&*host.name);
        if self.checks_name {
            return match name {
                Ok(_) => Ok(host.name.clone()),
                Err(_) => Err(Error::broken_connection(
                    "sslmode=verify-full needs the name of a host, to compare with the server's certificate",
                )),
            };
        }
        Ok(match name {
            Ok(ServerName::DnsName(_)) if self.names_server => host.name.clone(),
            _ => address.to_string(),
        })
    }

    /// Returns the handshake of a connection that is not used for statements.
    pub(super) fn handshake(&self, name: &str) -> Inner {
        let made = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.make.clone(), name);
        match made {
            Ok(handshake) => handshake,
            Err(never) => match never {},
        }
    }

    pub(crate) fn attempt(&self) -> Attempt {
        Attempt {
            make: self.make.clone(),
            progress: Arc::default(),
        }
    }
}

/// Returns the requested versions of TLS. rustls has none before 1.2.
fn versions(settings: &TlsSettings) -> Result<Vec<&'static rustls::SupportedProtocolVersion>> {
    let versions = [
        (TlsVersion::OneTwo, &rustls::version::TLS12),
        (TlsVersion::OneThree, &rustls::version::TLS13),
    ];
    let asked = versions.into_iter().filter(|(version, _)| {
        *version >= settings.oldest && settings.newest.is_none_or(|newest| *version <= newest)
    });
    let versions: Vec<_> = asked.map(|(_, version)| version).collect();
    if versions.is_empty() {
        return Err(Error::invalid(
            "ssl_max_protocol_version",
            "is less than TLSv1.2, the first that the async engine has",
        ));
    }
    Ok(versions)
}

/// Returns the client's certificate, if there is one, with its key.
fn own_certificate(
    settings: &TlsSettings,
    provider: &CryptoProvider,
) -> Result<Option<CertifiedKey>> {
    let Some(file) = settings.certificate.as_deref().filter(|file| file.exists()) else {
        return Ok(None);
    };
    let chain = read::<CertificateDer<'_>>("sslcert", file)?;
    let refused = |file: &Path, reason: &dyn Display| {
        Error::invalid("sslkey", format_args!("{}: {reason}", file.display()))
    };
    let key = settings
        .key
        .as_deref()
        .ok_or_else(|| Error::invalid("sslkey", "is not given, but sslcert is"))?;
    let about = fs::metadata(key).map_err(|error| refused(key, &error))?;
    // As libpq: a key of the system's administrator may be read by a group.
    let open_to = if about.uid() == 0 { 0o037 } else { 0o077 };
    if about.mode() & open_to != 0 {
        let reason =
            "may be read by others: its mode has to be 0600, or 0640 if it belongs to root";
        return Err(refused(key, &reason));
    }
    let pem = fs::read(key).map_err(|error| refused(key, &error))?;
    let loaded = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        let text = String::from_utf8_lossy(&pem);
        if text.contains("ENCRYPTED") {
            refused(
                key,
                &"is encrypted, which the async engine cannot read: store it without a password",
            )
        } else {
            refused(key, &error)
        }
    })?;
    let signer = provider
        .key_provider
        .load_private_key(loaded)
        .map_err(|error| refused(key, &error))?;
    // rustls would compare the two as well, but it refuses certificates of version 1.
    let info = signer.public_key();
    let read = chain.first().and_then(|own| Certificate::read(own));
    if let (Some(info), Some(read)) = (info, read)
        && info.as_ref() != read.key_info
    {
        return Err(refused(key, &"does not belong to the certificate"));
    }
    Ok(Some(CertifiedKey::new(chain, signer)))
}

/// Returns all objects of a kind in a PEM file.
fn read<T: PemObject>(parameter: &'static str, file: &Path) -> Result<Vec<T>> {
    let invalid = |reason: &dyn Display| {
        Error::invalid(parameter, format_args!("{}: {reason}", file.display()))
    };
    let objects = T::pem_file_iter(file)
        .map_err(|error| invalid(&error))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| invalid(&error))?;
    if objects.is_empty() {
        return Err(invalid(&"holds nothing of the kind"));
    }
    Ok(objects)
}

/// The trust that a server's certificate must derive from.
#[derive(Debug)]
struct Chain {
    verifier: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
}

impl Chain {
    /// None if nothing is to be verified. As libpq: with a root certificate every mode verifies.
    fn of(settings: &TlsSettings, provider: &Arc<CryptoProvider>) -> Result<Option<Self>> {
        let certificates = match &settings.root {
            Root::System => rustls_native_certs::load_native_certs().certs,
            Root::File(file) if file.exists() => read("sslrootcert", file)?,
            Root::File(_) | Root::None => return Ok(None),
        };
        let mut roots = RootCertStore::empty();
        let is_system = matches!(settings.root, Root::System);
        for certificate in &certificates {
            match roots.add(certificate.clone()) {
                Err(error) if !is_system => return Err(Error::invalid("sslrootcert", error)),
                _ => {}
            }
        }
        if roots.is_empty() {
            return Err(Error::invalid(
                "sslrootcert",
                "there is no root certificate to verify the server with",
            ));
        }
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .with_crls(revoked(settings)?)
                // As OpenSSL: a list that is out of date says nothing about later revocations.
                .enforce_revocation_expiration();
        Ok(Some(Self {
            verifier: builder
                .build()
                .map_err(|error| Error::invalid("sslrootcert", error))?,
            roots: if is_system { Vec::new() } else { certificates },
        }))
    }
}

/// Returns the lists of certificates that are revoked. As for libpq, they need not be there.
fn revoked(settings: &TlsSettings) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    let mut lists = Vec::new();
    if let Some(file) = settings.revoked.as_deref().filter(|file| file.exists()) {
        lists.extend(read("sslcrl", file)?);
    }
    if let Some(directory) = &settings.revoked_directory {
        let invalid = |error: io::Error| {
            Error::invalid(
                "sslcrldir",
                format_args!("{}: {error}", directory.display()),
            )
        };
        for entry in fs::read_dir(directory).map_err(invalid)? {
            let file = entry.map_err(invalid)?.path();
            if file.is_file() {
                lists.extend(read("sslcrldir", &file)?);
            }
        }
    }
    Ok(lists)
}

/// Verifies as much as the mode asks for.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    chain: Option<Chain>,
    checks_name: bool,
}

type Verified<T> = std::result::Result<T, rustls::Error>;

impl Verifier {
    fn verify_name(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Verified<()> {
        if !self.checks_name {
            return Ok(());
        }
        let outcome = verify_server_name(&ParsedCertificate::try_from(certificate)?, name);
        let read = || Certificate::read(certificate);
        match (outcome, name) {
            (Ok(()), _) => Ok(()),
            // As libpq: the common name counts where there is no other name of the host's kind.
            (Err(_), ServerName::DnsName(name))
                if read().is_some_and(|read| read.common_name_fits(name.as_ref(), DNS_NAME)) =>
            {
                Ok(())
            }
            (Err(_), ServerName::IpAddress(address))
                if read().is_some_and(|read| {
                    let address = IpAddr::from(*address).to_string();
                    read.common_name_fits(&address, IP_ADDRESS)
                }) =>
            {
                Ok(())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Checks a signature by the key of a certificate that rustls refuses to read, for its version
    /// or what it is for.
    fn by_key_alone(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
        refusal: rustls::Error,
        is_tls13: bool,
    ) -> Verified<HandshakeSignatureValid> {
        let is_readable = ParsedCertificate::try_from(certificate).is_ok();
        let Some(read) = Certificate::read(certificate).filter(|_| !is_readable) else {
            return Err(refusal);
        };
        let algorithms = &self.provider.signature_verification_algorithms;
        if is_tls13 {
            let key = SubjectPublicKeyInfoDer::from(read.key_info);
            return rustls::crypto::verify_tls13_signature_with_raw_key(
                message, &key, signature, algorithms,
            );
        }
        let known = algorithms.mapping.iter();
        let known = known.filter(|(scheme, _)| *scheme == signature.scheme);
        let mut fitting = known
            .flat_map(|(_, algorithms)| algorithms.iter())
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == read.key_algorithm);
        if fitting.any(|algorithm| {
            let checked = algorithm.verify_signature(read.key, message, signature.signature());
            checked.is_ok()
        }) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::BadSignature,
            ))
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Verified<ServerCertVerified> {
        let Some(Chain { verifier, roots }) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        // A certificate that is its own authority, as `openssl req -x509` makes it, is none that a
        // server may have for rustls. It is trusted as it stands.
        let own = Certificate::read(certificate).filter(|read| read.is_its_own_issuer());
        if let Some(own) = own.filter(|_| roots.contains(certificate)) {
            own.check_time(now)?;
        } else {
            match verifier.verify_server_cert(certificate, intermediates, name, ocsp, now) {
                // The chain is verified before the name.
                Ok(_)
                | Err(rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(error) => return Err(error),
            }
        }
        self.verify_name(certificate, name)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Verified<HandshakeSignatureValid> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
            .or_else(|error| self.by_key_alone(message, certificate, signature, error, false))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Verified<HandshakeSignatureValid> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
            .or_else(|error| self.by_key_alone(message, certificate, signature, error, true))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

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

type Inner = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

impl MakeTlsConnect<Socket> for Attempt {
    type Stream = Stream;
    type TlsConnect = Handshake;
    type Error = std::convert::Infallible;

    fn make_tls_connect(&mut self, name: &str) -> std::result::Result<Handshake, Self::Error> {
        Ok(Handshake {
            inner: MakeTlsConnect::<Socket>::make_tls_connect(&mut self.make, name)?,
            progress: Arc::clone(&self.progress),
        })
    }
}

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
