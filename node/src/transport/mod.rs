//! # Transport: opaque frames between named peers
//!
//! This room moves bytes. It knows who its peers are, proves it with mutual TLS, and keeps one QUIC connection to each
//! of them alive; it does not know what the bytes mean. Nothing here mentions a ballot, and nothing here may: the
//! protocol must survive every frame being lost, doubled or late, so this room is free to drop what it cannot carry.
//!
//! ## Shape
//!
//! Every node **dials every peer** and sends only over the connections it dialled; what it receives arrives over
//! connections its peers dialled. A pair of nodes therefore holds two connections, one each way, and there is never a
//! question of which of two crossing dials wins. Over each connection run three long-lived unidirectional streams,
//! one per [`Class`], with stream priorities and flow-control windows of their own, so a snapshot on its way never
//! delays a heartbeat.
//!
//! ```text
//!  send(to, class, frame) ──▶ queue (bounded) ──▶ writer task ──▶ QUIC stream ═══▶ reader task ──▶ mpsc (bounded) ──▶ driver
//!        any thread            drop when full       drains, batches                  decodes         back-pressure
//! ```
//!
//! - [`Transport::send`] never blocks and works from any thread. A frame for a peer that is not connected, or whose
//!   queue is full, is dropped and counted: the protocol sends again when it still matters.
//! - The receiving side never drops: when the driver lags, readers stop reading, the stream's window closes, and the
//!   *sender's* queue fills. Loss happens in exactly one place.
//! - A connection is up only when the acceptor has said *welcome* over it, so a peer that would refuse us never counts
//!   as connected, not even for the half round trip until its refusal arrives.
//!
//! ## Who may talk
//!
//! A certificate carries its node's [`Identity`] as a SPIFFE URI and as a DNS name ([`identity`]). The dialler verifies
//! the name of the node it means; the acceptor reads the identity out of the client's certificate and looks it up among
//! its peers. A foreign authority, another cluster, an unknown node or a name other than the one expected is refused,
//! counted in `synod_peer_rejections_total{reason}` and logged without flooding ([`refusal`]).
//!
//! ## What is not here
//!
//! No acknowledgement, no retransmission of frames, no ordering between classes, no discovery, no compression, no
//! session resumption or 0-RTT (a resumed session would skip the certificate checks), and no global state: nine
//! transports with nine registries fit in one process.

mod acceptor;
mod error;
mod handle;
pub mod identity;
mod link;
mod metrics;
mod queue;
mod quic;
pub mod refusal;
mod settings;
pub mod tls;
pub mod wire;

use bytes::Bytes;
use quorum::NodeId;

pub use error::TransportError;
pub use handle::Transport;
pub use identity::Identity;
pub use settings::{PeerAddress, QueueLimits, TransportSettings};
pub use tls::{Credentials, Expiry};

/// How urgent a frame is. Each class has its own queue and its own stream, so classes never wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Heartbeats, promises, rejections: small, and late means an election.
    Control,
    /// Accept and accepted: the commands themselves.
    Replication,
    /// Catch-up and snapshots: large, and in no hurry.
    Bulk,
}

impl Class {
    /// All classes, most urgent first.
    pub const ALL: [Class; 3] = [Class::Control, Class::Replication, Class::Bulk];

    /// The class's name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Control => "control",
            Class::Replication => "replication",
            Class::Bulk => "bulk",
        }
    }

    /// The class's place in [`Class::ALL`].
    const fn index(self) -> usize {
        match self {
            Class::Control => 0,
            Class::Replication => 1,
            Class::Bulk => 2,
        }
    }

    /// The class's QUIC stream priority: a higher one is sent first.
    const fn priority(self) -> i32 {
        match self {
            Class::Control => 2,
            Class::Replication => 1,
            Class::Bulk => 0,
        }
    }
}

/// Frames that arrived together, in the order their sender sent them.
///
/// One batch holds what one read of the stream completed, so that a busy driver pays for one wake-up per read and not
/// per frame. Frames are slices of the read buffer: keeping one keeps up to 128 KiB of its neighbours alive.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Who sent them, as its certificate says.
    pub from: NodeId,
    /// The class of the stream they came over.
    pub class: Class,
    /// The frames, oldest first; never empty.
    pub frames: Vec<Bytes>,
}
