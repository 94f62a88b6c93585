//! Which configuration governs which slot: `config(s)` of the protocol (R1).
//!
//! A configuration chosen in slot `r` governs the slots from `r + α` on. Today a cluster keeps the configuration it was
//! born with; every caller already asks for the configuration of the slot it means.

use alloc::vec;
use alloc::vec::Vec;

use quorum::{Configuration, NodeSet, Phase, QuorumSystem};

use crate::ballot::Slot;
use crate::message::Address;
use crate::mutant::{Mutant, mutated};

/// The configurations in force from some slot on, oldest first; never empty.
#[derive(Clone, Debug)]
pub(crate) struct Configurations {
    from: Vec<(Slot, Configuration)>,
}

impl Configurations {
    pub(crate) fn new(genesis: Configuration) -> Configurations {
        Configurations {
            from: vec![(Slot(1), genesis)],
        }
    }

    /// The configuration of one slot.
    pub(crate) fn of(&self, slot: Slot) -> &Configuration {
        let at = self.from.partition_point(|(first, _)| *first <= slot).max(1) - 1;
        &self.from[at].1
    }

    /// The newest configuration, in force or pending.
    pub(crate) fn newest(&self) -> &Configuration {
        &self.from[self.from.len() - 1].1
    }

    /// The window α, which is fixed at genesis (R2).
    pub(crate) fn alpha(&self) -> u64 {
        self.from[0].1.alpha()
    }

    /// Whether `acks`, given by address, are a quorum of every configuration that governs a slot in `(chosen, chosen + α]`.
    pub(crate) fn all_have_quorum(&self, chosen: Slot, phase: Phase, acks: impl Fn(&Configuration) -> NodeSet) -> bool {
        let mut slot = chosen.next();
        let last = chosen.plus(self.alpha());
        let phase = match phase {
            Phase::One if mutated(Mutant::PhaseTwoTwice) => Phase::Two,
            phase => phase,
        };
        loop {
            let configuration = self.of(slot);
            if !configuration.is_quorum(phase, acks(configuration)) {
                return false;
            }
            match self.from.iter().find(|(first, _)| *first > slot) {
                Some((first, _)) if *first <= last => slot = *first,
                _ => return true,
            }
        }
    }

    /// Everybody who has a part in some slot from `chosen + 1` on, without `except`.
    pub(crate) fn peers(&self, chosen: Slot, except: Address) -> Vec<Address> {
        let first = self.from.partition_point(|(first, _)| *first <= chosen.next()).max(1) - 1;
        let mut peers: Vec<Address> = self.from[first..]
            .iter()
            .flat_map(|(_, configuration)| configuration.members())
            .map(Address::of)
            .filter(|address| *address != except)
            .collect();
        peers.sort();
        peers.dedup();
        peers
    }

    /// Whether anybody of this address is a member of a configuration known here.
    pub(crate) fn knows(&self, address: Address) -> bool {
        self.from
            .iter()
            .any(|(_, configuration)| index_of(configuration, address).is_some())
    }

    /// Whether this address may vote, and so stand for election, under the newest configuration.
    pub(crate) fn is_voter(&self, address: Address) -> bool {
        let newest = self.newest();
        index_of(newest, address).is_some_and(|index| newest.is_voter(index))
    }
}

/// A8: the member that this address is. Who is of another life is no member (L3, L5).
pub(crate) fn index_of(configuration: &Configuration, address: Address) -> Option<u8> {
    let exact = configuration.index_of(address.node, address.incarnation);
    exact.or_else(|| {
        let member = configuration.member(address.node)?;
        let index = configuration.index_of(member.node, member.incarnation);
        index.filter(|_| mutated(Mutant::EarlierLivesCounted))
    })
}
