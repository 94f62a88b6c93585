//! Messages on their way to peers, from the driver and from the journal's thread.

use paxos::{Address, Envelope, Input, Urgency};
use tokio::sync::mpsc;

use super::Happening;
use crate::transport::{Class, Transport};

/// Encodes messages and hands them to the transport; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Outbound {
    transport: Transport,
}

impl Outbound {
    /// Sends over `transport`.
    #[must_use]
    pub fn new(transport: Transport) -> Outbound {
        Outbound { transport }
    }

    /// Sends one message. A transport that cannot take it drops and counts it: the protocol sends again what matters.
    pub fn send(&self, envelope: &Envelope) {
        let class = match envelope.message.urgency() {
            Urgency::Control => Class::Control,
            Urgency::Replication => Class::Replication,
            Urgency::Bulk => Class::Bulk,
        };
        self.transport.send(envelope.to.node, class, envelope.encode());
    }

    /// What the journal's thread does with messages whose writes are durable: those to the node itself come back to
    /// the driver.
    pub fn release(&self, me: Address, envelopes: Vec<Envelope>, driver: &mpsc::Sender<Happening>) {
        for envelope in envelopes {
            if envelope.to == me {
                // A closed channel is a node that stops.
                let _ = driver.blocking_send(Happening::Input(Input::Receive(envelope)));
            } else {
                self.send(&envelope);
            }
        }
    }
}
