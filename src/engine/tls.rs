//! TLS as libpq's `sslmode` has it, on rustls.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::TlsMode;
use crate::{Config, Error, Result};

pub(crate) fn connector(config: &Config) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::connection)?;
    // As libpq: with a root certificate, `require` verifies like `verify-ca`.
    let verified = match config.tls {
        TlsMode::VerifyFull => Verified::NameAndChain,
        TlsMode::VerifyCa => Verified::Chain,
        _ if config.root_certificate.is_some() => Verified::Chain,
        _ => Verified::Nothing,
    };
    let client = match verified {
        Verified::NameAndChain => builder
            .with_root_certificates(roots(config)?)
            .with_no_client_auth(),
        Verified::Chain | Verified::Nothing => {
            let chain = match verified {
                Verified::Nothing => None,
                _ => Some(
                    WebPkiServerVerifier::builder_with_provider(
                        Arc::new(roots(config)?),
                        Arc::clone(&provider),
                    )
                    .build()
                    .map_err(|error| Error::invalid("sslrootcert", error))?,
                ),
            };
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Lenient { provider, chain }))
                .with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(client))
}

#[derive(Clone, Copy)]
enum Verified {
    Nothing,
    Chain,
    NameAndChain,
}

/// The certificates of `sslrootcert`, or else the system's.
fn roots(config: &Config) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match config.root_certificate.as_deref() {
        None | Some("system") => {
            let (_, _) =
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            let invalid = |error: &dyn std::fmt::Display| {
                Error::invalid("sslrootcert", format_args!("{path}: {error}"))
            };
            for certificate in
                CertificateDer::pem_file_iter(path).map_err(|error| invalid(&error))?
            {
                roots
                    .add(certificate.map_err(|error| invalid(&error))?)
                    .map_err(|error| invalid(&error))?;
            }
        }
    }
    if roots.is_empty() {
        return Err(Error::invalid(
            "sslrootcert",
            "there is no root certificate to verify the server with",
        ));
    }
    Ok(roots)
}

/// The modes below `verify-full`: the server's name is not looked at, and without a `chain` neither is its issuer.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
