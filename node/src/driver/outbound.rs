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
    /// the driver. Returns false if the driver is gone.
    pub fn release(&self, me: Address, envelopes: Vec<Envelope>, driver: &mpsc::Sender<Happening>) -> bool {
        let mut running = true;
        for envelope in envelopes {
            if envelope.to == me {
                running &= driver.blocking_send(Happening::Input(Input::Receive(envelope))).is_ok();
            } else {
                self.send(&envelope);
            }
        }
        running
    }
}
