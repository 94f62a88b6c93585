//! Which configuration governs which slot: `config(s)` of the protocol (R1, R2).
//!
//! A configuration chosen in slot `r` governs the slots from `r + α` on. Whether a change takes effect depends on the log
//! before it and on nothing else, so every node that knows the log up to `r` comes to the same answer: core, state machine
//! and checkers all ask [`Configurations::consider`].

use alloc::vec;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use quorum::{Configuration, NodeSet, Phase, QuorumSystem};

use crate::ballot::Slot;
use crate::change::{Change, Objection};
use crate::message::Address;
use crate::mutant::{Mutant, mutated};

/// Most configurations that are remembered: one in force, one pending.
const REMEMBERED: usize = 2;

/// The newest configuration, and the one before it, each with the first slot that it governs; oldest first.
///
/// A value of its own that travels with the state: the configurations as of one slot of the log. Playing the same slots once
/// more to a later value changes nothing, because a change that was made does not follow itself, and one that was refused is
/// refused again (R2).
#[derive(Clone, PartialEq, Debug)]
pub struct Configurations {
    from: Vec<(Slot, Configuration)>,
}

impl Configurations {
    /// Those of a cluster before its first slot.
    #[must_use]
    pub fn new(genesis: Configuration) -> Configurations {
        Configurations {
            from: vec![(Slot(1), genesis)],
        }
    }

    /// Those that [`Configurations::entries`] gave elsewhere; nothing if they cannot be such.
    #[must_use]
    pub fn from_entries(entries: Vec<(Slot, Configuration)>) -> Option<Configurations> {
        let follow = |pair: &[(Slot, Configuration)]| {
            pair[0].0 < pair[1].0
                && pair[1].1.epoch().0 == pair[0].1.epoch().0 + 1
                && pair[1].1.alpha() == pair[0].1.alpha()
        };
        let sound = (1..=REMEMBERED).contains(&entries.len()) && entries.windows(2).all(follow);
        sound.then_some(Configurations { from: entries })
    }

    /// The configurations and the first slots that they govern, oldest first; one or two.
    #[must_use]
    pub fn entries(&self) -> &[(Slot, Configuration)] {
        &self.from
    }

    /// Of two that are of the same log the one that is as of a later slot, as far as they differ.
    #[must_use]
    pub fn newer(self, other: Configurations) -> Configurations {
        if other.newest().epoch() > self.newest().epoch() {
            other
        } else {
            self
        }
    }

    /// R2: whether a change chosen in `slot` takes effect, and from which slot on. Asked in slot order.
    ///
    /// # Errors
    /// Why it is a no-op.
    pub fn consider(&self, slot: Slot, change: &Change) -> Result<Slot, Objection> {
        let (from, newest) = &self.from[self.from.len() - 1];
        let next = &change.configuration;
        if next.epoch().0 != newest.epoch().0 + 1 {
            return Err(Objection::Epoch { newest: newest.epoch() });
        }
        if *from > slot {
            return Err(Objection::Pending { from: *from });
        }
        if next.alpha() != newest.alpha() {
            return Err(Objection::Alpha { alpha: newest.alpha() });
        }
        for member in next.members() {
            if newest
                .member(member.node)
                .is_some_and(|before| before.incarnation > member.incarnation)
            {
                return Err(Objection::EarlierLife { node: member.node });
            }
        }
        Ok(slot.plus(self.alpha()))
    }

    /// R2: a change is chosen in `slot`: from which slot on it is in force, if it takes effect.
    ///
    /// # Errors
    /// Why it is a no-op.
    pub fn take(&mut self, slot: Slot, change: &Change) -> Result<Slot, Objection> {
        let from = self.consider(slot, change)?;
        self.put(from, change.configuration.clone());
        Ok(from)
    }

    /// That configuration is in force from that slot on.
    pub(crate) fn put(&mut self, from: Slot, configuration: Configuration) {
        self.from.push((from, configuration));
        // The one before the last governs no slot from the one on in which the last was chosen, for that was in force there.
        let forgotten = self.from.len().saturating_sub(REMEMBERED);
        self.from.drain(..forgotten);
    }

    /// R6: everything before the newest one is retired.
    pub(crate) fn retire(&mut self) {
        let older = self.from.len() - 1;
        self.from.drain(..older);
    }

    /// The configuration of one slot, which is no earlier than the oldest remembered one.
    #[must_use]
    pub fn of(&self, slot: Slot) -> &Configuration {
        let at = self.from.partition_point(|(first, _)| *first <= slot).max(1) - 1;
        &self.from[at].1
    }

    /// The newest configuration, in force or pending.
    #[must_use]
    pub fn newest(&self) -> &Configuration {
        &self.from[self.from.len() - 1].1
    }

    /// The first slot that the newest configuration governs.
    #[must_use]
    pub fn newest_from(&self) -> Slot {
        self.from[self.from.len() - 1].0
    }

    /// The oldest configuration that is not retired, as far as is known here.
    #[must_use]
    pub fn oldest(&self) -> &Configuration {
        &self.from[0].1
    }

    /// The window α, which is fixed at genesis (R2).
    #[must_use]
    pub fn alpha(&self) -> u64 {
        self.from[0].1.alpha()
    }

    /// R6: whether a configuration before the newest one is not retired yet.
    pub(crate) fn are_two(&self) -> bool {
        self.from.len() > 1
    }

    /// The configurations that govern a slot in `(chosen, chosen + α]`, oldest first, each with the first such slot; at least one.
    pub(crate) fn governing(&self, chosen: Slot) -> impl Iterator<Item = (Slot, &Configuration)> {
        let (next, last) = (chosen.next(), chosen.plus(self.alpha()));
        let first = self.from.partition_point(|(from, _)| *from <= next).max(1) - 1;
        let later = self.from[first + 1..].iter().take_while(move |(from, _)| *from <= last);
        let later = later.map(|(from, configuration)| (*from, configuration));
        core::iter::once((next, &self.from[first].1)).chain(later)
    }

    /// Whether somebody of this address is a member of the newest configuration.
    pub(crate) fn knows_newest(&self, address: Address) -> bool {
        index_of(self.newest(), address).is_some()
    }

    /// Whether `acks`, given by address, are a quorum of every configuration that governs a slot in `(chosen, chosen + α]`.
    pub(crate) fn all_have_quorum(&self, chosen: Slot, phase: Phase, acks: impl Fn(&Configuration) -> NodeSet) -> bool {
        let phase = match phase {
            Phase::One if mutated(Mutant::PhaseTwoTwice) => Phase::Two,
            phase => phase,
        };
        self.governing(chosen)
            .all(|(_, configuration)| configuration.is_quorum(phase, acks(configuration)))
    }

    /// The members of all configurations that are not retired, old ones first, each address once.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let mut addresses: Vec<Address> = self
            .from
            .iter()
            .flat_map(|(_, configuration)| configuration.members())
            .map(Address::of)
            .collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }

    /// Whether anybody of this address is a member of a configuration that is not retired.
    pub(crate) fn knows(&self, address: Address) -> bool {
        self.from
            .iter()
            .any(|(_, configuration)| index_of(configuration, address).is_some())
    }

    /// Whether this address may stand for election in a configuration that governs a slot in `(chosen, chosen + α]`.
    pub(crate) fn may_lead(&self, chosen: Slot, address: Address) -> bool {
        self.governing(chosen)
            .any(|(_, configuration)| may_lead(configuration, address))
    }
}

impl Hash for Configurations {
    fn hash<H: Hasher>(&self, into: &mut H) {
        for (from, configuration) in &self.from {
            (from, configuration.fingerprint()).hash(into);
        }
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

/// Whether this address votes in a configuration, and may lead.
pub(crate) fn may_lead(configuration: &Configuration, address: Address) -> bool {
    index_of(configuration, address).is_some_and(|index| configuration.may_lead(index))
}
