//! Whom the transport talks to: the members of the configurations that are not retired, as the core names them.

use std::collections::BTreeMap;
use std::time::Duration;

use paxos::{Replica, Time};
use quorum::{Member, NodeId};

use crate::transport::{PeerAddress, Transport};

/// How long the connection to a node is kept that is no member any more: it is to be told that it may stop (R6).
const FAREWELL: Duration = Duration::from_secs(60);

/// The peers of the transport.
pub struct Contacts {
    /// Where to dial nodes instead of at their members' addresses.
    dial: BTreeMap<NodeId, String>,
    known: BTreeMap<NodeId, Contact>,
}

struct Contact {
    address: String,
    /// When it was last a member.
    seen: Time,
}

impl Contacts {
    /// Nobody yet. `dial` says where to reach nodes instead of at the addresses of their members.
    #[must_use]
    pub fn new(dial: BTreeMap<NodeId, String>) -> Contacts {
        Contacts {
            dial,
            known: BTreeMap::new(),
        }
    }

    /// Where a member is dialled.
    #[must_use]
    pub fn address(&self, member: &Member) -> String {
        self.dial.get(&member.node).unwrap_or(&member.address).clone()
    }

    /// Has the transport follow what the core says now. Must be called within the runtime.
    pub fn follow(&mut self, now: Time, replica: &Replica, transport: &Transport) {
        let mut changed = false;
        let mut named = Vec::new();
        for member in replica.contacts() {
            // The first that is named is the newest description; an earlier life of the node is reached where the node is.
            if named.contains(&member.node) {
                continue;
            }
            named.push(member.node);
            let address = self.address(&member);
            let contact = Contact { address, seen: now };
            let before = self.known.insert(member.node, contact);
            changed |= before.is_none_or(|before| before.address != self.known[&member.node].address);
        }
        let count = self.known.len();
        self.known.retain(|_, contact| now.since(contact.seen) < FAREWELL);
        if changed || self.known.len() != count {
            let peers = self.known.iter().map(|(node, contact)| PeerAddress {
                node: *node,
                address: contact.address.clone(),
            });
            transport.set_peers(&peers.collect::<Vec<_>>());
        }
    }
}
