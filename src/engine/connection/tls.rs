//! TLS as libpq's parameters have it, on rustls.

use std::fmt::Display;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::certificate::Certificate;
use super::socket::Socket;
use crate::config::{Host, TlsMode, TlsSettings, TlsVersion};
use crate::{Error, Result};

mod attempt;
mod verifier;

pub(crate) use attempt::Attempt;
use attempt::Inner;
use verifier::{Chain, Verifier};

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

    /// Returns the handshake with a server of this name.
    pub(super) fn handshake(&self, name: &str) -> Inner {
        let made = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.make.clone(), name);
        match made {
            Ok(handshake) => handshake,
            Err(never) => match never {},
        }
    }

    pub(crate) fn attempt(&self) -> Attempt {
        Attempt::new(self.make.clone())
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
