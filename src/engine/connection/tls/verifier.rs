//! Verifies the server's certificate as libpq does.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::super::certificate::{Certificate, DNS_NAME, IP_ADDRESS};
use super::read;
use crate::config::{Root, TlsSettings};
use crate::{Error, Result};

/// The trust that a server's certificate must derive from.
#[derive(Debug)]
pub(super) struct Chain {
    verifier: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
}

impl Chain {
    /// None if nothing is to be verified. As libpq: with a root certificate every mode verifies.
    pub(super) fn of(
        settings: &TlsSettings,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Self>> {
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
pub(super) struct Verifier {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) chain: Option<Chain>,
    pub(super) checks_name: bool,
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
