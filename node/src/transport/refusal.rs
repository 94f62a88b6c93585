//! Why a connection is refused, and how often that is worth a line in the log.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use quinn::ConnectionError;

/// TLS alerts (RFC 8446, section 6) as QUIC transports them: 0x100 plus the alert.
mod alert {
    pub(super) const BAD_CERTIFICATE: u64 = 0x100 + 42;
    pub(super) const CERTIFICATE_EXPIRED: u64 = 0x100 + 45;
    pub(super) const UNKNOWN_CA: u64 = 0x100 + 48;
    pub(super) const DECRYPT_ERROR: u64 = 0x100 + 51;
    pub(super) const CERTIFICATE_REQUIRED: u64 = 0x100 + 116;
    pub(super) const ALL: std::ops::Range<u64> = 0x100..0x200;
}

/// Why a connection was refused, by us or by the peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The certificate was not issued by an authority we trust.
    #[error("its certificate comes from an authority this node does not trust ({0})")]
    UnknownCa(String),
    /// The certificate is no longer, or not yet, valid.
    #[error("its certificate is not valid at this time ({0})")]
    Expired(String),
    /// The peer came without a certificate, or with a broken one.
    #[error("its certificate cannot be accepted ({0})")]
    BadCertificate(String),
    /// The peer is not the one we meant, or does not say who its certificate says it is.
    #[error("it is not who it should be: {0}")]
    WrongIdentity(String),
    /// The peer belongs to another cluster.
    #[error("it belongs to another cluster: {0}")]
    WrongCluster(String),
    /// The peer belongs to this cluster, but this node has not been told of it.
    #[error("node {0} is not among this node's peers")]
    UnknownNode(u64),
    /// The peer speaks another version of the wire.
    #[error("{0}")]
    WireVersion(String),
    /// The peer has refused us, for a reason of its own.
    #[error("the peer refuses this node: {0}")]
    RefusedByPeer(String),
    /// The handshake failed in another way.
    #[error("the handshake failed: {0}")]
    Handshake(String),
}

impl Rejection {
    /// All values of the label `reason`.
    pub const REASONS: [&'static str; 9] = [
        "unknown_ca",
        "expired",
        "bad_certificate",
        "wrong_identity",
        "wrong_cluster",
        "unknown_node",
        "wire_version",
        "refused_by_peer",
        "handshake",
    ];

    /// The value of the label `reason` in `synod_peer_rejections_total`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Rejection::UnknownCa(_) => "unknown_ca",
            Rejection::Expired(_) => "expired",
            Rejection::BadCertificate(_) => "bad_certificate",
            Rejection::WrongIdentity(_) => "wrong_identity",
            Rejection::WrongCluster(_) => "wrong_cluster",
            Rejection::UnknownNode(_) => "unknown_node",
            Rejection::WireVersion(_) => "wire_version",
            Rejection::RefusedByPeer(_) => "refused_by_peer",
            Rejection::Handshake(_) => "handshake",
        }
    }

    /// Reads a refusal out of the end of a connection; `None` when it ended for lack of a network or of a peer.
    pub fn from_connection(error: &ConnectionError) -> Option<Self> {
        match error {
            ConnectionError::TransportError(error) => {
                let (code, text) = (u64::from(error.code), error.reason.clone());
                Some(match code {
                    alert::UNKNOWN_CA | alert::DECRYPT_ERROR => Self::UnknownCa(text),
                    alert::CERTIFICATE_EXPIRED => Self::Expired(text),
                    // The verifier's only complaint about a well-formed certificate from our own authority.
                    alert::BAD_CERTIFICATE if text.contains("not valid for name") => Self::WrongIdentity(text),
                    alert::BAD_CERTIFICATE | alert::CERTIFICATE_REQUIRED => Self::BadCertificate(text),
                    _ => Self::Handshake(error.to_string()),
                })
            }
            ConnectionError::ConnectionClosed(close) if alert::ALL.contains(&u64::from(close.error_code)) => {
                Some(Self::RefusedByPeer(close.to_string()))
            }
            ConnectionError::ApplicationClosed(close) if close.error_code == super::quic::CLOSE_REFUSED => {
                Some(Self::RefusedByPeer(String::from_utf8_lossy(&close.reason).into_owned()))
            }
            ConnectionError::VersionMismatch => Some(Self::WireVersion(error.to_string())),
            _ => None,
        }
    }
}

/// Lets the first of many equal lines into the log at once, and later ones at growing intervals.
///
/// Keys are few (reasons and known peers), never what a stranger chooses.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    seen: Mutex<BTreeMap<String, Repeat>>,
}

#[derive(Debug)]
struct Repeat {
    next: Instant,
    pause: Duration,
    suppressed: u64,
}

impl Repeats {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(60);

    /// Whether to log now: `Some(number of lines suppressed since the last)`, or `None` to stay silent.
    pub(super) fn admit(&self, key: &str, now: Instant) -> Option<u64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(repeat) = seen.get_mut(key) else {
            seen.insert(
                key.to_owned(),
                Repeat {
                    next: now + Self::FIRST,
                    pause: Self::FIRST,
                    suppressed: 0,
                },
            );
            return Some(0);
        };
        if now < repeat.next {
            repeat.suppressed += 1;
            return None;
        }
        // After a quiet spell the next one is news again.
        let quiet = now.duration_since(repeat.next) > Self::LONGEST;
        repeat.pause = if quiet {
            Self::FIRST
        } else {
            (repeat.pause * 2).min(Self::LONGEST)
        };
        repeat.next = now + repeat.pause;
        Some(std::mem::take(&mut repeat.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_logged_ever_more_rarely() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let logged = (0..600).filter(|second| repeats.admit("x", start + Duration::from_secs(*second)).is_some());
        assert_eq!(logged.collect::<Vec<_>>()[..7], [0, 1, 3, 7, 15, 31, 63]);
        assert_eq!(repeats.admit("y", start), Some(0), "another key has its own count");
    }

    #[test]
    fn a_line_says_how_many_were_suppressed() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        assert_eq!(repeats.admit("x", start), Some(0));
        assert_eq!(repeats.admit("x", start), None);
        assert_eq!(repeats.admit("x", start), None);
        assert_eq!(repeats.admit("x", start + Duration::from_secs(1)), Some(2));
    }
}
