//! What can happen to a node besides requests.

use std::fmt;

use bytes::Bytes;
use paxos::{CodecError, Envelope, Input};
use quorum::NodeId;

use crate::transport::Inbound;

/// Something that reached the driver.
pub enum Happening {
    /// A completion, or a message that a node sent to itself.
    Input(Input),
    /// Frames of a peer, not decoded yet.
    Frames(Inbound),
}

impl From<Inbound> for Happening {
    fn from(inbound: Inbound) -> Happening {
        Happening::Frames(inbound)
    }
}

/// Why a frame is not a message of the peer it came from.
#[derive(Debug)]
pub(super) enum Garbage {
    Codec(CodecError),
    /// The certificate and the envelope disagree about the sender.
    Impostor(NodeId),
}

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Garbage::Codec(error) => error.fmt(f),
            Garbage::Impostor(claimed) => write!(f, "it claims to come from node {claimed}"),
        }
    }
}

/// A frame as the message of the peer whose certificate the connection showed.
pub(super) fn decode(from: NodeId, frame: Bytes) -> Result<Envelope, Garbage> {
    let envelope = Envelope::decode(frame).map_err(Garbage::Codec)?;
    if envelope.from.node == from {
        Ok(envelope)
    } else {
        Err(Garbage::Impostor(envelope.from.node))
    }
}
