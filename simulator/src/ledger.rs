//! The facts of a run, as no node can know them: who has durably voted for what, what was proposed, and so what is chosen.

use std::collections::BTreeMap;

use paxos::{Address, Ballot, Configurations, Slot, Value};
use quorum::{Configuration, Epoch, NodeSet, Phase, QuorumSystem};

use crate::seat::Seat;
use crate::slots::Slots;

/// Which sets of nodes are quorums, as tables: a simulated cluster has at most a handful of nodes.
pub(crate) struct Quorums {
    one: Vec<bool>,
    two: Vec<bool>,
    /// Who may lead.
    leaders: NodeSet,
}

impl Quorums {
    /// By seats, of which there are so many; members are those seats in the life that the configuration names.
    fn new(configuration: &Configuration, nodes: usize) -> Quorums {
        let members = |seats: NodeSet| -> NodeSet {
            let address = |seat: u8| Seat(seat).address();
            let index = |seat: u8| configuration.index_of(address(seat).node, address(seat).incarnation);
            seats.iter().filter_map(index).collect()
        };
        let leads = |seat: &Seat| members(seat.set()).iter().any(|index| configuration.may_lead(index));
        Quorums {
            leaders: Seat::all(nodes).filter(leads).map(|seat| seat.0).collect(),
            ..Quorums::tabulate(
                nodes,
                |set| configuration.is_quorum(Phase::One, members(set)),
                |set| configuration.is_quorum(Phase::Two, members(set)),
            )
        }
    }

    pub(crate) fn tabulate(nodes: usize, one: impl Fn(NodeSet) -> bool, two: impl Fn(NodeSet) -> bool) -> Quorums {
        let sets = || (0..1u64 << nodes).map(NodeSet::from_bits);
        Quorums {
            one: sets().map(one).collect(),
            two: sets().map(two).collect(),
            leaders: NodeSet::first(nodes as u8),
        }
    }

    /// Whether these nodes can elect one of them and choose.
    fn serve(&self, nodes: NodeSet) -> bool {
        self.is_phase1(nodes) && self.is_phase2(nodes) && !(self.leaders & nodes).is_empty()
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

/// A configuration that took effect.
struct Governing {
    /// The slot that it was chosen in.
    chosen: Slot,
    /// The first slot that it governs.
    from: Slot,
    configuration: Configuration,
    quorums: Quorums,
}

/// Everything that is known.
pub(crate) struct Ledger {
    /// Every configuration that took effect, oldest first, found from the chosen values alone (R1, R2).
    governing: Vec<Governing>,
    /// Configurations that were asked for, and may still come.
    asked: Vec<(Configuration, Quorums)>,
    nodes: usize,
    /// R6: everything before that configuration was rightly found retired.
    retired: Epoch,
    slots: Slots<SlotFacts>,
    ballots: BTreeMap<Ballot, BallotFacts>,
    chosen: Slot,
}

impl Ledger {
    pub(crate) fn new(configuration: &Configuration) -> Ledger {
        Ledger {
            governing: vec![Governing {
                chosen: Slot::ZERO,
                from: Slot(1),
                configuration: configuration.clone(),
                quorums: Quorums::new(configuration, configuration.members().len()),
            }],
            asked: Vec::new(),
            nodes: configuration.members().len(),
            retired: configuration.epoch(),
            slots: Slots::new(),
            ballots: BTreeMap::new(),
            chosen: Slot::ZERO,
        }
    }

    /// The quorums of the configuration that governs a slot.
    pub(crate) fn quorums(&self, slot: Slot) -> &Quorums {
        let governing = self.governing.iter().rev().find(|each| each.from <= slot);
        &governing.unwrap_or(&self.governing[0]).quorums
    }

    /// The quorums of the first day.
    pub(crate) fn genesis(&self) -> &Quorums {
        &self.governing[0].quorums
    }

    /// The newest configuration that is chosen.
    pub(crate) fn newest(&self) -> &Configuration {
        &self.governing[self.governing.len() - 1].configuration
    }

    /// The configurations as of a slot.
    pub(crate) fn as_of(&self, slot: Slot) -> Configurations {
        let by_then = self.governing.iter().take_while(|each| each.chosen <= slot);
        let mut entries: Vec<_> = by_then.map(|each| (each.from, each.configuration.clone())).collect();
        entries.drain(..entries.len().saturating_sub(2));
        Configurations::from_entries(entries).expect("they follow each other")
    }

    /// Whether a node, in this life of its disk, was ever made a member.
    pub(crate) fn knows(&self, who: Address) -> bool {
        let is_member = |each: &Governing| each.configuration.index_of(who.node, who.incarnation).is_some();
        self.governing.iter().any(is_member)
    }

    /// Who has been a member from the first day on.
    pub(crate) fn always(&self) -> NodeSet {
        let is_member = |seat: &Seat| {
            self.governing
                .iter()
                .all(|each| each.configuration.member(seat.node()).is_some())
        };
        Seat::all(self.nodes).filter(is_member).map(|seat| seat.0).collect()
    }

    /// R6: a leader rightly finds all before that configuration retired.
    pub(crate) fn retire(&mut self, epoch: Epoch) {
        self.retired = self.retired.max(epoch);
    }

    /// Whether that configuration governs the slots from `from` on.
    pub(crate) fn governs(&self, from: Slot, configuration: &Configuration) -> bool {
        let mut all = self.governing.iter();
        all.any(|each| each.from == from && each.configuration == *configuration)
    }

    /// R6: whether those who keep all slots before the first of that configuration are a phase-2 quorum of it.
    pub(crate) fn could_retire(&self, epoch: Epoch, keepers: impl Fn(Slot) -> NodeSet) -> Option<bool> {
        let each = self.governing.iter().find(|each| each.configuration.epoch() == epoch)?;
        Some(each.quorums.is_phase2(keepers(each.from)))
    }

    /// Whether a node is a member of the newest configuration.
    pub(crate) fn is_wanted(&self, seat: Seat) -> bool {
        self.newest().member(seat.node()).is_some()
    }

    /// Somebody asked for a configuration.
    pub(crate) fn ask(&mut self, configuration: &Configuration) {
        let quorums = Quorums::new(configuration, self.nodes);
        self.asked.push((configuration.clone(), quorums));
    }

    /// Whether that configuration was asked for.
    pub(crate) fn was_asked(&self, configuration: &Configuration) -> bool {
        let made = self.governing.iter().any(|each| each.configuration == *configuration);
        made || self.asked.iter().any(|(asked, _)| asked == configuration)
    }

    /// Whether these nodes hold quorums of all that governs open slots, or may come to.
    pub(crate) fn serve(&self, seats: NodeSet) -> bool {
        let newest = self.newest().epoch();
        let last = self
            .governing
            .iter()
            .filter(|each| each.configuration.epoch() >= self.retired);
        let pending = self.asked.iter().filter(|(asked, _)| asked.epoch() > newest);
        let mut all = last
            .map(|each| &each.quorums)
            .chain(pending.map(|(_, quorums)| quorums));
        all.all(|quorums| quorums.serve(seats))
    }

    /// Whether these nodes would hold quorums of that configuration.
    pub(crate) fn would_serve(&self, configuration: &Configuration, seats: NodeSet) -> bool {
        Quorums::new(configuration, self.nodes).serve(seats)
    }

    /// R2, told naively: whether what is chosen in `slot`, the next of the prefix, takes effect.
    fn follow(&mut self, slot: Slot) {
        let Some(Value::Reconfigure(change)) = self.chosen(slot) else {
            return;
        };
        let next = change.configuration.clone();
        let newest = &self.governing[self.governing.len() - 1];
        let (before, from) = (&newest.configuration, newest.from);
        let goes_back = |member: &quorum::Member| {
            before
                .member(member.node)
                .is_some_and(|then| then.incarnation > member.incarnation)
        };
        if from > slot
            || next.epoch().0 != before.epoch().0 + 1
            || next.alpha() != before.alpha()
            || next.members().iter().any(goes_back)
        {
            return;
        }
        self.governing.push(Governing {
            chosen: slot,
            from: slot.plus(before.alpha()),
            quorums: Quorums::new(&next, self.nodes),
            configuration: next,
        });
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
        let governing = self.governing.iter().rev().find(|each| each.from <= slot);
        let quorums = &governing.unwrap_or(&self.governing[0]).quorums;
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
        if quorums.is_phase2(before) || !quorums.is_phase2(proposal.voters) {
            return Vote::Counted;
        }
        match facts.chosen {
            None => {
                facts.chosen = Some(at);
                while self.chosen(self.chosen.next()).is_some() {
                    self.chosen = self.chosen.next();
                    self.follow(self.chosen);
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
