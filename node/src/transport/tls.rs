//! Mutual TLS: credentials from PEM files, and the rustls configurations made of them.
//!
//! TLS 1.3 only, one authority for both directions, the `ring` provider, no session resumption: every connection
//! presents and checks certificates anew, so a replaced authority takes effect at the next dial.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{RootCertStore, client::Resumption, crypto::CryptoProvider, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{Identity, TransportError};

/// What both ends name as their application protocol; another one never gets past the handshake.
const ALPN: &[u8] = b"synod-peer";

/// A node's certificate chain and key, and the authority it trusts for its peers.
#[derive(Debug)]
pub struct Credentials {
    authorities: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self {
            authorities: self.authorities.clone(),
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Credentials {
    /// Loads credentials from PEM files: one or more authorities, the node's chain (its own certificate first), its
    /// key. An error names the file and what is wrong with it.
    pub fn load(ca: &Path, certificate: &Path, key: &Path) -> Result<Self, TransportError> {
        let file = |what: &'static str, path: &Path| {
            std::fs::read(path).map_err(|error| pem_error(what, path, &rustls_pki_types::pem::Error::Io(error)))
        };
        Self::read(
            (ca, &file("CA certificate", ca)?),
            (certificate, &file("certificate", certificate)?),
            (key, &file("private key", key)?),
        )
    }

    /// The same from what the files hold, each with its name for errors.
    pub fn read(ca: (&Path, &[u8]), certificate: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<Self, TransportError> {
        Ok(Self {
            authorities: certificates("CA certificate", ca.0, ca.1)?,
            chain: certificates("certificate", certificate.0, certificate.1)?,
            key: PrivateKeyDer::from_pem_slice(key.1).map_err(|error| pem_error("private key", key.0, &error))?,
        })
    }

    /// The identity the node's own certificate carries.
    pub fn identity(&self) -> Result<Identity, TransportError> {
        Identity::from_certificate(self.leaf()).map_err(TransportError::Tls)
    }

    /// When the node's certificate and the first authority to expire end, in seconds since 1970.
    pub fn expiry(&self) -> Result<Expiry, TransportError> {
        let end = |der: &CertificateDer<'_>| {
            let (_, certificate) = X509Certificate::from_der(der)
                .map_err(|error| TransportError::Tls(format!("the certificate does not parse: {error}")))?;
            Ok::<i64, TransportError>(certificate.validity().not_after.timestamp())
        };
        let mut ca = i64::MAX;
        for authority in &self.authorities {
            ca = ca.min(end(authority)?);
        }
        Ok(Expiry {
            node: end(self.leaf())?,
            ca,
        })
    }

    /// The configuration for accepting peers: their certificate is required.
    pub(super) fn server(&self) -> Result<QuicServerConfig, TransportError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider())
            .build()
            .map_err(|error| TransportError::Tls(error.to_string()))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(tls)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        QuicServerConfig::try_from(config).map_err(|error| TransportError::Tls(error.to_string()))
    }

    /// The configuration for dialling peers: their certificate must carry the name dialled.
    pub(super) fn client(&self) -> Result<QuicClientConfig, TransportError> {
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls)?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(tls)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        QuicClientConfig::try_from(config).map_err(|error| TransportError::Tls(error.to_string()))
    }

    fn leaf(&self) -> &CertificateDer<'static> {
        self.chain.first().expect("`certificates` refuses a file without any")
    }

    fn roots(&self) -> Result<RootCertStore, TransportError> {
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            roots.add(authority.clone()).map_err(tls)?;
        }
        Ok(roots)
    }
}

/// When certificates end, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The node's own certificate.
    pub node: i64,
    /// The first of the authorities to expire.
    pub ca: i64,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn tls(error: rustls::Error) -> TransportError {
    TransportError::Tls(error.to_string())
}

fn pem_error(what: &'static str, path: &Path, error: &rustls_pki_types::pem::Error) -> TransportError {
    let reason = match error {
        rustls_pki_types::pem::Error::NoItemsFound => format!("it holds no PEM {what}"),
        other => other.to_string(),
    };
    TransportError::Pem {
        what,
        path: PathBuf::from(path),
        reason,
    }
}

fn certificates(what: &'static str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| pem_error(what, path, &error))?;
    if certificates.is_empty() {
        return Err(pem_error(what, path, &rustls_pki_types::pem::Error::NoItemsFound));
    }
    Ok(certificates)
}
