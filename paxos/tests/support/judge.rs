//! What must hold whatever happens, told from disks and clients alone.

use std::collections::{BTreeMap, BTreeSet};

use paxos::{Address, Ballot, Change, CommandId, Configurations, Outcome, Slot, Value};
use quorum::{Configuration, NodeSet, Phase, QuorumSystem};

/// Sees every durable vote, every applied entry and every answer.
#[derive(Debug)]
pub struct Judge {
    /// Every configuration that ever took effect, with the slot that it was chosen in and the first that it governs.
    configurations: Vec<(Slot, Slot, Configuration)>,
    /// Every slot up to here is chosen.
    prefix: Slot,
    votes: BTreeMap<(Slot, Ballot), (Value, BTreeSet<Address>)>,
    chosen: BTreeMap<Slot, Value>,
    applied: BTreeSet<(CommandId, Slot)>,
    refused: BTreeSet<CommandId>,
    /// The highest slot of which a client was told that it is done.
    told: Slot,
}

impl Judge {
    pub fn new(configuration: Configuration) -> Judge {
        Judge {
            configurations: vec![(Slot::ZERO, Slot(1), configuration)],
            prefix: Slot::ZERO,
            votes: BTreeMap::new(),
            chosen: BTreeMap::new(),
            applied: BTreeSet::new(),
            refused: BTreeSet::new(),
            told: Slot::ZERO,
        }
    }

    /// A vote has reached a disk. Agreement: no slot ever has two values with a phase-2 quorum.
    pub fn vote(&mut self, who: Address, slot: Slot, ballot: Ballot, value: &Value) {
        let fresh = || (value.clone(), BTreeSet::new());
        let (proposed, votes) = self.votes.entry((slot, ballot)).or_insert_with(fresh);
        assert_eq!(proposed, value, "two values in slot {slot} under {ballot} (L4)");
        votes.insert(who);
        let index = |configuration: &Configuration, who: &Address| configuration.index_of(who.node, who.incarnation);
        let known = self.configurations.iter().any(|(.., each)| index(each, &who).is_some());
        assert!(known, "{who:?} votes, who was never a member (A8)");
        let mut governing = self.configurations.iter().rev();
        let (.., configuration) = governing
            .find(|(_, from, _)| *from <= slot)
            .expect("slot 1 is governed");
        let votes: NodeSet = votes.iter().filter_map(|who| index(configuration, who)).collect();
        if configuration.is_quorum(Phase::Two, votes) {
            let first = self.chosen.entry(slot).or_insert_with(|| value.clone());
            assert_eq!(first, value, "two values are chosen in slot {slot}");
            self.follow();
        }
    }

    /// R1, R2, told naively: which changes take effect.
    fn follow(&mut self) {
        while let Some(value) = self.chosen.get(&self.prefix.next()) {
            self.prefix = self.prefix.next();
            let Value::Reconfigure(change) = value else { continue };
            let Change {
                configuration: next, ..
            } = &**change;
            let (_, from, newest) = &self.configurations[self.configurations.len() - 1];
            let in_force = *from <= self.prefix;
            let lives = next.members().iter().all(|member| {
                newest
                    .member(member.node)
                    .is_none_or(|before| before.incarnation <= member.incarnation)
            });
            if in_force && lives && next.epoch().0 == newest.epoch().0 + 1 && next.alpha() == newest.alpha() {
                let from = Slot(self.prefix.0 + newest.alpha());
                self.configurations.push((self.prefix, from, next.clone()));
            }
        }
    }

    /// The newest configuration that is chosen.
    pub fn newest(&self) -> &Configuration {
        &self.configurations[self.configurations.len() - 1].2
    }

    /// The configurations as of a slot that is chosen.
    pub fn as_of(&self, slot: Slot) -> Configurations {
        let by_then = self.configurations.iter().take_while(|(chosen, ..)| *chosen <= slot);
        let mut entries: Vec<_> = by_then.map(|(_, from, each)| (*from, each.clone())).collect();
        entries.drain(..entries.len().saturating_sub(2));
        Configurations::from_entries(entries).expect("they follow each other")
    }

    /// A node applies an entry: it must be the chosen one, and nothing that was refused. A command may come again, and does nothing
    /// then (X1).
    pub fn apply(&mut self, who: Address, slot: Slot, value: &Value) {
        let chosen = self.chosen.get(&slot);
        assert_eq!(chosen, Some(value), "{who:?} applies in slot {slot} what is not chosen");
        let Value::Commands(batch) = value else { return };
        for command in batch.iter() {
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
