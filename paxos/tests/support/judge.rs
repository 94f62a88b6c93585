//! What must hold whatever happens, told from disks and clients alone.

use std::collections::{BTreeMap, BTreeSet};

use paxos::{Address, Ballot, CommandId, Outcome, Slot, Value};
use quorum::{Configuration, NodeSet, Phase, QuorumSystem};

/// Sees every durable vote, every applied entry and every answer.
#[derive(Debug)]
pub struct Judge {
    configuration: Configuration,
    votes: BTreeMap<(Slot, Ballot), (Value, NodeSet)>,
    chosen: BTreeMap<Slot, Value>,
    applied: BTreeSet<(CommandId, Slot)>,
    refused: BTreeSet<CommandId>,
    /// The highest slot of which a client was told that it is done.
    told: Slot,
}

impl Judge {
    pub fn new(configuration: Configuration) -> Judge {
        Judge {
            configuration,
            votes: BTreeMap::new(),
            chosen: BTreeMap::new(),
            applied: BTreeSet::new(),
            refused: BTreeSet::new(),
            told: Slot::ZERO,
        }
    }

    /// A vote has reached a disk. Agreement: no slot ever has two values with a phase-2 quorum.
    pub fn vote(&mut self, who: Address, slot: Slot, ballot: Ballot, value: &Value) {
        let fresh = || (value.clone(), NodeSet::EMPTY);
        let (proposed, votes) = self.votes.entry((slot, ballot)).or_insert_with(fresh);
        assert_eq!(proposed, value, "two values in slot {slot} under {ballot} (L4)");
        let index = self.configuration.index_of(who.node, who.incarnation);
        votes.insert(index.expect("only members vote"));
        if self.configuration.is_quorum(Phase::Two, *votes) {
            let first = self.chosen.entry(slot).or_insert_with(|| value.clone());
            assert_eq!(first, value, "two values are chosen in slot {slot}");
        }
    }

    /// A node applies an entry: it must be the chosen one, and no command may come twice.
    pub fn apply(&mut self, who: Address, slot: Slot, value: &Value) {
        let chosen = self.chosen.get(&slot);
        assert_eq!(chosen, Some(value), "{who:?} applies in slot {slot} what is not chosen");
        let Value::Commands(batch) = value else { return };
        for command in batch.iter() {
            let other = self.applied.iter().find(|(id, at)| *id == command.id && *at != slot);
            assert_eq!(other, None, "{:?} is done again in slot {slot} (X2)", command.id);
            assert!(!self.refused.contains(&command.id), "{:?} was refused (X2)", command.id);
            self.applied.insert((command.id, slot));
        }
    }

    /// A client was told that its command was done in `slot`.
    pub fn done(&mut self, slot: Slot) {
        self.told = self.told.max(slot);
    }

    /// A client was told that its command was certainly not done.
    pub fn refused(&mut self, id: CommandId) {
        let done = self.applied.iter().find(|(other, _)| *other == id);
        assert_eq!(done, None, "{id:?} is refused but was done (X2)");
        self.refused.insert(id);
    }

    /// What a read that begins now must see at least.
    pub fn told(&self) -> Slot {
        self.told
    }

    /// D1: a read sees what clients had been told before it began.
    pub fn read(&self, told: Slot, outcome: &Outcome) {
        if let Outcome::Read(slot) = outcome {
            assert!(
                *slot >= told,
                "a read sees {slot} but {told} was reported done before it began (D1)"
            );
        }
    }

    /// How many slots are chosen.
    pub fn chosen(&self) -> usize {
        self.chosen.len()
    }
}
