//! The facts of a run, as no node can know them: who has durably voted for what, what was proposed, and so what is chosen.

use std::collections::BTreeMap;

use paxos::{Ballot, Slot, Value};
use quorum::{Configuration, NodeSet, Phase, QuorumSystem};

use crate::seat::Seat;
use crate::slots::Slots;

/// Which sets of nodes are quorums, as tables: a simulated cluster has at most a handful of nodes.
pub(crate) struct Quorums {
    one: Vec<bool>,
    two: Vec<bool>,
}

impl Quorums {
    fn new(configuration: &Configuration) -> Quorums {
        Quorums::tabulate(
            configuration.members().len(),
            |set| configuration.is_quorum(Phase::One, set),
            |set| configuration.is_quorum(Phase::Two, set),
        )
    }

    pub(crate) fn tabulate(nodes: usize, one: impl Fn(NodeSet) -> bool, two: impl Fn(NodeSet) -> bool) -> Quorums {
        let sets = || (0..1u64 << nodes).map(NodeSet::from_bits);
        Quorums {
            one: sets().map(one).collect(),
            two: sets().map(two).collect(),
        }
    }

    pub(crate) fn is_phase1(&self, nodes: NodeSet) -> bool {
        self.one[nodes.bits() as usize]
    }

    pub(crate) fn is_phase2(&self, nodes: NodeSet) -> bool {
        self.two[nodes.bits() as usize]
    }
}

/// One ballot's value in one slot, and who has ever voted for it durably.
pub(crate) struct Proposal {
    pub(crate) ballot: Ballot,
    pub(crate) value: Value,
    pub(crate) voters: NodeSet,
}

/// All that is known of one slot.
#[derive(Default)]
pub(crate) struct SlotFacts {
    pub(crate) proposals: Vec<Proposal>,
    /// The proposal that was chosen first.
    chosen: Option<usize>,
}

impl SlotFacts {
    /// What is chosen here, and under which ballot it was first.
    pub(crate) fn chosen(&self) -> Option<(Ballot, &Value)> {
        self.chosen
            .map(|at| (self.proposals[at].ballot, &self.proposals[at].value))
    }

    pub(crate) fn find(&self, ballot: Ballot, value: &Value) -> Option<&Proposal> {
        self.proposals
            .iter()
            .rev()
            .find(|known| known.ballot == ballot && same(&known.value, value))
    }
}

/// What became of a ballot.
#[derive(Default)]
pub(crate) struct BallotFacts {
    /// Whose complete promises left them, or, for the candidate's own, is durable.
    pub(crate) promised: NodeSet,
    /// How far the pages of a promise reach that left their node, whole or not (L9).
    pub(crate) pages: BTreeMap<u8, Slot>,
    /// The process that first used it.
    pub(crate) used_by: Option<u64>,
}

/// What a durable vote changed.
pub(crate) enum Vote {
    /// Nothing that matters.
    Counted,
    /// It completed a phase-2 quorum for the first value chosen in the slot.
    Chosen,
    /// It completed a phase-2 quorum for another value than the one chosen before.
    Contradicted,
}

/// Everything that is known.
pub(crate) struct Ledger {
    pub(crate) quorums: Quorums,
    slots: Slots<SlotFacts>,
    ballots: BTreeMap<Ballot, BallotFacts>,
    chosen: Slot,
}

impl Ledger {
    pub(crate) fn new(configuration: &Configuration) -> Ledger {
        Ledger {
            quorums: Quorums::new(configuration),
            slots: Slots::new(),
            ballots: BTreeMap::new(),
            chosen: Slot::ZERO,
        }
    }

    /// Every slot up to here is chosen.
    pub(crate) fn chosen_prefix(&self) -> Slot {
        self.chosen
    }

    pub(crate) fn slot(&self, slot: Slot) -> Option<&SlotFacts> {
        self.slots.at(slot)
    }

    /// The value chosen in a slot.
    pub(crate) fn chosen(&self, slot: Slot) -> Option<&Value> {
        Some(self.slots.at(slot)?.chosen()?.1)
    }

    pub(crate) fn ballot(&mut self, ballot: Ballot) -> &mut BallotFacts {
        self.ballots.entry(ballot).or_default()
    }

    pub(crate) fn promised(&self, ballot: Ballot) -> NodeSet {
        self.ballots.get(&ballot).map_or(NodeSet::EMPTY, |facts| facts.promised)
    }

    /// Whose promise of that ballot speaks of a slot, though the rest of it may never have left them.
    pub(crate) fn promised_for(&self, ballot: Ballot, slot: Slot) -> NodeSet {
        let Some(facts) = self.ballots.get(&ballot) else {
            return NodeSet::EMPTY;
        };
        let paged = facts.pages.iter().filter(|(_, to)| **to >= slot).map(|(seat, _)| *seat);
        facts.promised | paged.collect()
    }

    /// Notes a proposal; true if it was not known.
    pub(crate) fn propose(&mut self, slot: Slot, ballot: Ballot, value: &Value) -> bool {
        let Some(place) = self.slots.place(slot) else {
            return false;
        };
        let facts = place.get_or_insert_default();
        if facts.find(ballot, value).is_some() {
            return false;
        }
        facts.proposals.push(Proposal {
            ballot,
            value: value.clone(),
            voters: NodeSet::EMPTY,
        });
        true
    }

    /// Notes that a vote is durable. The proposal is known: the process that votes had to ask for the write.
    pub(crate) fn vote(&mut self, seat: Seat, slot: Slot, ballot: Ballot, value: &Value) -> Vote {
        let Some(facts) = self.slots.place(slot).and_then(Option::as_mut) else {
            return Vote::Counted;
        };
        let Some(at) = facts
            .proposals
            .iter()
            .position(|known| known.ballot == ballot && same(&known.value, value))
        else {
            return Vote::Counted;
        };
        let proposal = &mut facts.proposals[at];
        let before = proposal.voters;
        proposal.voters = before | seat.set();
        if self.quorums.is_phase2(before) || !self.quorums.is_phase2(proposal.voters) {
            return Vote::Counted;
        }
        match facts.chosen {
            None => {
                facts.chosen = Some(at);
                while self.chosen(self.chosen.next()).is_some() {
                    self.chosen = self.chosen.next();
                }
                Vote::Chosen
            }
            Some(first) if same(&facts.proposals[first].value, value) => Vote::Counted,
            Some(_) => Vote::Contradicted,
        }
    }

    /// Whether a node has ever durably voted so.
    pub(crate) fn has_voted(&self, seat: Seat, slot: Slot, ballot: Ballot, value: &Value) -> bool {
        self.slots
            .at(slot)
            .and_then(|facts| facts.find(ballot, value))
            .is_some_and(|known| known.voters.contains(seat.0))
    }

    /// Whether a node has ever durably voted for that value, in whatever ballot.
    pub(crate) fn ever_voted(&self, seat: Seat, slot: Slot, value: &Value) -> bool {
        self.slots.at(slot).is_some_and(|facts| {
            facts
                .proposals
                .iter()
                .any(|known| known.voters.contains(seat.0) && same(&known.value, value))
        })
    }

    /// Whether a node has ever durably voted in that ballot, for whatever value.
    pub(crate) fn has_voted_in(&self, seat: Seat, slot: Slot, ballot: Ballot) -> bool {
        self.slots.at(slot).is_some_and(|facts| {
            facts
                .proposals
                .iter()
                .any(|known| known.ballot == ballot && known.voters.contains(seat.0))
        })
    }
}

/// Whether two values are equal; quick where they share memory.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Commands(one), Value::Commands(other)) => {
            let (one, other) = (one.as_bytes(), other.as_bytes());
            (one.as_ptr() == other.as_ptr() && one.len() == other.len()) || one == other
        }
        _ => one == other,
    }
}
