//! Why a transport could not be started.

use std::{io, net::SocketAddr, path::PathBuf};

/// Why a transport could not be started. Each text is a sentence for the operator who reads it.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The UDP socket for peers could not be opened.
    #[error("cannot listen for peers on {address}/udp: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A PEM file is missing, unreadable or holds something else.
    #[error("cannot use {what} file {}: {reason}", path.display())]
    Pem {
        /// What the file should hold: "CA certificate", "certificate" or "private key".
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate, key and authority do not make a usable TLS configuration.
    #[error("cannot use the peer certificate: {0}")]
    Tls(String),
    /// The certificate is valid, but it is some other node's.
    #[error("the certificate belongs to {found}, but this node is {expected}: every peer would refuse it")]
    NotOurCertificate {
        /// The identity in the certificate.
        found: String,
        /// The identity in the settings.
        expected: String,
    },
    /// A setting is out of range or contradicts another.
    #[error("{0}")]
    Settings(String),
    /// The registry already holds these metrics.
    #[error("cannot register the transport's metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}
