//! What a transport is told when it is bound.

use std::{net::SocketAddr, time::Duration};

use quorum::NodeId;

use super::{
    Credentials, Identity, TransportError,
    wire::{self, Versions},
};

/// Where to find a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// The peer's number in the cluster.
    pub node: NodeId,
    /// `host:port`. A DNS name is resolved anew at every attempt to connect, so a pod may move.
    pub address: String,
}

/// How much may wait in one queue: both bounds hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// At most this many frames.
    pub frames: usize,
    /// At most this many bytes of payload.
    pub bytes: usize,
}

/// Everything a transport needs to know, resolved and typed.
#[derive(Clone, Debug)]
pub struct TransportSettings {
    /// The UDP address to listen on and to dial from. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Who this node is; must be what its certificate says.
    pub identity: Identity,
    /// Which life of this node this is. Peers see a new one after a restart and dial again at once.
    pub incarnation: u64,
    /// The cluster's number, drawn at bootstrap: two clusters of the same name and authority still never mix.
    pub cluster_id: u64,
    /// Certificate, key and authority.
    pub credentials: Credentials,
    /// The other nodes. An entry for this node itself is ignored.
    pub peers: Vec<PeerAddress>,
    /// What may wait in the control queue of one peer.
    pub control: QueueLimits,
    /// What may wait in the replication queue of one peer.
    pub replication: QueueLimits,
    /// What may wait in the bulk queue of one peer.
    pub bulk: QueueLimits,
    /// The longest frame, in bytes of payload, that is sent or accepted.
    pub max_frame: usize,
    /// A connection over which nothing arrives for this long is dead.
    pub idle_timeout: Duration,
    /// How often the dialler makes sure that something arrives. Well below a third of `idle_timeout`.
    pub keep_alive: Duration,
    /// The shortest pause before dialling again; it doubles with every failure.
    pub backoff_min: Duration,
    /// The longest pause before dialling again.
    pub backoff_max: Duration,
    /// The wire versions that are spoken: those of this build, unless a test plays another one.
    pub speaks: Versions,
}

impl TransportSettings {
    /// Settings with the usual limits: 4 Ki frames or 8 MiB of control, 64 Ki or 64 MiB of replication, 4 Ki or 64 MiB
    /// of bulk frames per peer, frames of up to 16 MiB, dead after 5 s of silence, dialling every 50 ms to 2 s.
    pub fn new(
        listen: SocketAddr,
        identity: Identity,
        incarnation: u64,
        cluster_id: u64,
        credentials: Credentials,
        peers: Vec<PeerAddress>,
    ) -> Self {
        Self {
            listen,
            identity,
            incarnation,
            cluster_id,
            credentials,
            peers,
            control: QueueLimits {
                frames: 4 << 10,
                bytes: 8 << 20,
            },
            replication: QueueLimits {
                frames: 64 << 10,
                bytes: 64 << 20,
            },
            bulk: QueueLimits {
                frames: 4 << 10,
                bytes: 64 << 20,
            },
            max_frame: wire::MAX_FRAME,
            idle_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(1),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            speaks: wire::VERSIONS,
        }
    }

    /// Whether these credentials carry this node's identity.
    pub(super) fn check_identity(&self, credentials: &Credentials) -> Result<(), TransportError> {
        let found = credentials.identity()?;
        if found == self.identity {
            return Ok(());
        }
        Err(TransportError::NotOurCertificate {
            found: found.to_string(),
            expected: self.identity.to_string(),
        })
    }

    /// Checks the ranges and reports the first fault in a sentence.
    pub(super) fn check(&self) -> Result<(), TransportError> {
        let fault = |text: String| Err(TransportError::Settings(text));
        if self.max_frame == 0 || self.max_frame > wire::MAX_FRAME {
            return fault(format!(
                "the longest peer frame must be 1 to {} bytes, not {}",
                wire::MAX_FRAME,
                self.max_frame
            ));
        }
        if self.keep_alive.is_zero() || self.keep_alive * 3 > self.idle_timeout {
            return fault(format!(
                "peer keep-alive {:?} must be above zero and at most a third of the idle time-out {:?}",
                self.keep_alive, self.idle_timeout
            ));
        }
        if self.idle_timeout > Duration::from_secs(600) {
            return fault(format!(
                "peer idle time-out {:?} is above ten minutes",
                self.idle_timeout
            ));
        }
        if self.backoff_min.is_zero() || self.backoff_min > self.backoff_max {
            return fault(format!(
                "the shortest pause between dials {:?} must be above zero and at most the longest {:?}",
                self.backoff_min, self.backoff_max
            ));
        }
        for (name, limits) in [
            ("control", self.control),
            ("replication", self.replication),
            ("bulk", self.bulk),
        ] {
            if limits.frames == 0 || limits.bytes == 0 {
                return fault(format!("the {name} queue must hold at least one frame and one byte"));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        for peer in &self.peers {
            if !seen.insert(peer.node) {
                return fault(format!("peer {} is listed twice", peer.node.0));
            }
        }
        Ok(())
    }
}
