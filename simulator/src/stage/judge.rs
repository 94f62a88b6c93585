//! What must hold on the stage, told from disks, state machines and clients alone.
//!
//! Fewer properties than the cluster's checkers know, and only consequences: a scene is to end with the harm that a broken
//! rule does, not with the first sign of it.

use std::collections::{BTreeMap, BTreeSet};

use paxos::{Ballot, CommandId, Slot, Value};
use quorum::{Configuration, NodeSet, Phase, QuorumSystem};

use super::words::{ballot as in_words, list, name, names, value as what};
use crate::checker::{Property, Violation};
use crate::seat::Seat;

/// Votes for one value in one ballot and slot.
struct Votes {
    ballot: Ballot,
    value: Value,
    voters: NodeSet,
}

impl Votes {
    fn words(&self) -> String {
        format!(
            "{} ({} at {})",
            what(&self.value),
            names(self.voters),
            in_words(self.ballot)
        )
    }
}

pub(super) struct Judge {
    configuration: Configuration,
    votes: BTreeMap<Slot, Vec<Votes>>,
    chosen: BTreeMap<Slot, Value>,
    applied: BTreeMap<Slot, (Seat, Value)>,
    places: BTreeMap<CommandId, Slot>,
    refused: BTreeSet<CommandId>,
    /// A mutant: what is chosen twice is done twice.
    repeats: bool,
    /// What clients were told is done.
    done: BTreeMap<Slot, Value>,
    /// The highest slot whose effect some client has seen.
    shown: Slot,
    /// The first thing that did not hold, of those that are judged.
    judged: Option<Property>,
    pub(super) violation: Option<Violation>,
}

impl Judge {
    pub(super) fn new(configuration: Configuration, judged: Option<Property>, repeats: bool) -> Judge {
        Judge {
            configuration,
            votes: BTreeMap::new(),
            chosen: BTreeMap::new(),
            applied: BTreeMap::new(),
            places: BTreeMap::new(),
            refused: BTreeSet::new(),
            repeats,
            done: BTreeMap::new(),
            shown: Slot::ZERO,
            judged,
            violation: None,
        }
    }

    pub(super) fn broken(&mut self, property: Property, detail: String) {
        if self.violation.is_none() && self.judged.is_none_or(|judged| judged == property) {
            self.violation = Some(Violation { property, detail });
        }
    }

    /// A vote is durable; says so if it makes the slot chosen.
    pub(super) fn on_vote(&mut self, seat: Seat, slot: Slot, ballot: Ballot, value: &Value) -> Option<String> {
        let votes = self.votes.entry(slot).or_default();
        if let Some(other) = votes
            .iter()
            .find(|known| known.ballot == ballot && known.value != *value)
        {
            let detail = format!(
                "ballot {} has two values in slot {slot}: {} and {}",
                in_words(ballot),
                what(&other.value),
                what(value)
            );
            self.broken(Property::OneValue, detail);
        }
        let votes = self.votes.entry(slot).or_default();
        let known = votes
            .iter()
            .position(|known| known.ballot == ballot && known.value == *value);
        let at = known.unwrap_or_else(|| {
            let (value, voters) = (value.clone(), NodeSet::EMPTY);
            votes.push(Votes { ballot, value, voters });
            votes.len() - 1
        });
        let before = votes[at].voters;
        votes[at].voters.insert(seat.0);
        let enough = |voters| self.configuration.is_quorum(Phase::Two, voters);
        if enough(before) || !enough(votes[at].voters) {
            return None;
        }
        let words = votes[at].words();
        self.on_chosen(slot, value);
        Some(format!("slot {slot} is chosen: {words}"))
    }

    fn on_chosen(&mut self, slot: Slot, value: &Value) {
        let first = self.chosen.entry(slot).or_insert_with(|| value.clone());
        if *first != *value {
            let quorums = self.votes[&slot]
                .iter()
                .filter(|votes| self.configuration.is_quorum(Phase::Two, votes.voters));
            let words: Vec<String> = quorums.map(Votes::words).collect();
            let detail = format!("slot {slot} is chosen twice: {}", list(&words));
            self.broken(Property::Agreement, detail);
        }
        if let Some(told) = self.done.get(&slot).filter(|told| *told != value) {
            let detail = format!(
                "a client was told that {} is done, but slot {slot} is chosen as {}",
                what(told),
                what(value)
            );
            self.broken(Property::Acknowledged, detail);
        }
        let Value::Commands(batch) = value else { return };
        for command in batch.iter() {
            let text = String::from_utf8_lossy(&command.payload).into_owned();
            if self.refused.contains(&command.id) {
                let detail = format!("{text} was refused, yet slot {slot} is chosen as {}", what(value));
                self.broken(Property::OneEffect, detail);
            }
            let earlier = self.places.insert(command.id, slot).filter(|earlier| *earlier != slot);
            if let (Some(earlier), true) = (earlier, self.repeats) {
                self.broken(
                    Property::Applied,
                    format!("{text} is done twice, in slots {earlier} and {slot}"),
                );
            }
        }
    }

    /// A state machine that had applied up to `before` applies an entry.
    pub(super) fn on_apply(&mut self, seat: Seat, before: Slot, slot: Slot, value: &Value) {
        let node = name(seat);
        if slot != before.next() {
            let detail = format!("{node} applies slot {slot} after slot {before}");
            self.broken(Property::Applied, detail);
        }
        let fact = self.chosen.get(&slot);
        if fact != Some(value) {
            let fact = fact.map_or("nothing".to_owned(), what);
            let detail = format!("{node} applies {} in slot {slot}, where {fact} is chosen", what(value));
            self.broken(Property::Claims, detail);
        }
        let (first, applied) = self.applied.entry(slot).or_insert_with(|| (seat, value.clone()));
        if *applied != *value {
            let detail = format!(
                "{node} applies {} in slot {slot}, where {} has applied {}",
                what(value),
                name(*first),
                what(applied)
            );
            self.broken(Property::Applied, detail);
        }
    }

    /// A state machine that has applied up to `slot` holds `values`, which should be what was applied there.
    pub(super) fn on_state(&mut self, seat: Seat, slot: Slot, values: &[Value]) {
        let expected: Vec<Value> = self
            .applied
            .range(..=slot)
            .map(|(_, (_, value))| value.clone())
            .collect();
        if *values != expected[..] {
            let words = |values: &[Value]| match values {
                [] => "nothing".to_owned(),
                values => values.iter().map(what).collect::<Vec<_>>().join(", "),
            };
            let detail = format!(
                "the state of {} after slot {slot} is made of {}, but it should be made of {}",
                name(seat),
                words(values),
                words(&expected)
            );
            self.broken(Property::Applied, detail);
        }
    }

    /// A client was told that its command is done.
    pub(super) fn on_done(&mut self, slot: Slot, value: &Value) {
        self.shown = self.shown.max(slot);
        self.done.insert(slot, value.clone());
        if let Some(other) = self.chosen.get(&slot).filter(|other| *other != value) {
            let detail = format!(
                "a client is told that {} is done, but slot {slot} is chosen as {}",
                what(value),
                what(other)
            );
            self.broken(Property::Acknowledged, detail);
        }
    }

    /// A client was told that its command was certainly not done.
    pub(super) fn on_refused(&mut self, id: CommandId, text: &str) {
        self.refused.insert(id);
        if let Some(slot) = self.places.get(&id) {
            let detail = format!("a client is told that {text} was refused, but it is done in slot {slot}");
            self.broken(Property::OneEffect, detail);
        }
    }

    /// What a read that begins now must see at least.
    pub(super) fn shown(&self) -> Slot {
        self.shown
    }

    /// A read that had to see `shown` is served from the state after `slot`.
    pub(super) fn on_read(&mut self, seat: Seat, shown: Slot, slot: Slot) {
        if slot < shown {
            let detail = format!(
                "a client reads at {} from the state after slot {slot}, though slot {shown} had been seen before it asked",
                name(seat)
            );
            self.broken(Property::RealTime, detail);
        }
        self.shown = self.shown.max(slot);
    }

    /// A journal is told to forget what is not durable anywhere else at its node.
    pub(super) fn on_trim(&mut self, seat: Seat, trimmed: Slot, flushed: Slot) {
        if trimmed > flushed {
            let detail = format!(
                "{} forgets slots up to {trimmed} in its journal, but its state machine is durable only up to {flushed}",
                name(seat)
            );
            self.broken(Property::Floor, detail);
        }
    }
}
