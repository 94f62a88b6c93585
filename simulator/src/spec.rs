//! The trace of a run for the model: what happened, in the words of `paxos/spec/Trace.tla`, which explains it step by step.
//!
//! Only what crosses the replica's border is noted: what it wants written, what becomes durable, what it sends and hears. The
//! chosen prefix has no message of its own. It is noted as soon as something that the node says or writes shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use paxos::{Ballot, Event as Note, Message, Record, Release, Slot, Value, Vote, Write, WriteId};
use quorum::{Configuration, NodeSet, Phase, QuorumSystem};

use crate::ledger::same;
use crate::seat::Seat;

/// Ballots are numbers in the model: round times this, plus the leader.
const ROUND: u64 = 16;

/// What is noted of a run.
pub(crate) struct SpecTrace {
    lines: Vec<String>,
    limit: usize,
    values: Vec<Value>,
    ballots: BTreeSet<u64>,
    last_slot: Slot,
    /// What each node's chosen prefix was when it last showed.
    chosen: Vec<Slot>,
    /// The writes of each node that were noted and are not durable.
    queued: Vec<BTreeSet<WriteId>>,
    /// While a node dies: how many of those its disk kept.
    dying: Option<usize>,
}

impl SpecTrace {
    /// An empty trace of that many nodes, which takes `limit` steps.
    pub(crate) fn new(nodes: usize, limit: usize) -> SpecTrace {
        SpecTrace {
            lines: Vec::new(),
            limit,
            values: Vec::new(),
            ballots: BTreeSet::new(),
            last_slot: Slot(1),
            chosen: vec![Slot::ZERO; nodes],
            queued: vec![BTreeSet::new(); nodes],
            dying: None,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lines.len() >= self.limit
    }

    fn note(&mut self, seat: Seat, kind: &str, fields: &str) {
        let line = format!("[e |-> \"{kind}\", n |-> {}{fields}]", seat.node());
        // Messages go to everybody, and say nothing new the second time. A second write or sync is a second step.
        let is_repeated = !matches!(kind, "write" | "persist") && self.lines.last() == Some(&line);
        if !self.is_full() && !is_repeated {
            self.lines.push(line);
        }
    }

    // ---- what a replica says ----

    /// A process asks for a write.
    pub(crate) fn on_write(&mut self, seat: Seat, write: &Write) {
        let (mut promised, mut prefix) = (0, Slot::ZERO);
        let mut log = BTreeMap::new();
        for record in &write.records {
            match record {
                Record::Promised(ballot) => promised = self.ballot(*ballot),
                Record::Voted { slot, ballot, value } => {
                    let entry = self.entry(self.number(*ballot), value);
                    log.insert(self.slot(*slot), entry);
                }
                Record::Learned { slot, value } => {
                    let entry = self.entry(0, value);
                    log.insert(self.slot(*slot), entry);
                }
                Record::Chosen(chosen) => prefix = *chosen,
                // The model has one configuration.
                Record::Configurations(_) => {}
            }
        }
        let mut then = BTreeSet::new();
        for envelope in &write.then {
            self.see_prefix(seat, &envelope.message);
            then.extend(self.message(seat, &envelope.message));
        }
        self.know(seat, prefix);
        let asks_again = matches!(write.then.first(), Some(first) if matches!(first.message, Message::Prepare { .. }));
        if write.records.is_empty() && (then.is_empty() || asks_again) {
            return;
        }
        self.queued[seat.index()].insert(write.id);
        let then: Vec<_> = then.into_iter().collect();
        let fields = format!(
            ", promised |-> {promised}, log |-> {}, prefix |-> {prefix}, then |-> {{{}}}",
            function(&log),
            then.join(", ")
        );
        self.note(seat, "write", &fields);
    }

    /// A message leaves a node.
    pub(crate) fn on_send(&mut self, seat: Seat, message: &Message) {
        self.see_prefix(seat, message);
        if let Message::Accept {
            ballot, slot, value, ..
        } = message
        {
            let (ballot, slot, value) = (self.ballot(*ballot), self.slot(*slot), self.value(value));
            self.note(
                seat,
                "accept",
                &format!(", b |-> {ballot}, s |-> {slot}, v |-> {value}"),
            );
        }
        match message {
            Message::Accept { ballot, chosen, .. }
            | Message::Commit { ballot, chosen }
            | Message::Heartbeat { ballot, chosen, .. }
            | Message::HandOver {
                release: Release { ballot, .. },
                chosen,
            } => {
                let ballot = self.ballot(*ballot);
                self.note(seat, "announce", &format!(", b |-> {ballot}, p |-> {chosen}"));
            }
            Message::Chosen { from, values, .. } => {
                let mut slot = *from;
                for value in values {
                    let (s, v) = (self.slot(slot), self.value(value));
                    self.note(seat, "serve", &format!(", s |-> {s}, v |-> {v}"));
                    slot = slot.next();
                }
            }
            _ => {}
        }
        if let Some(message) = self.message(seat, message) {
            self.note(seat, "send", &format!(", m |-> {message}"));
        }
    }

    /// A process hears a message.
    pub(crate) fn on_receive(&mut self, seat: Seat, from: Seat, message: &Message) {
        if matches!(message, Message::Promise { .. } | Message::Accepted { .. })
            && let Some(message) = self.message(from, message)
        {
            self.note(seat, "hear", &format!(", m |-> {message}"));
        }
    }

    /// A replica says what became of it; `chosen` is its chosen prefix by then.
    pub(crate) fn on_note(&mut self, seat: Seat, note: &Note, chosen: Slot) {
        match note {
            Note::Leading(_) => {
                self.know(seat, chosen);
                self.note(seat, "lead", "");
            }
            Note::ChosenAt { slot, .. } => self.note(seat, "chosen", &format!(", s |-> {slot}")),
            Note::SteppedDown { .. } | Note::Overtaken { .. } => self.note(seat, "yield", ""),
            _ => {}
        }
    }

    // ---- what happens to a node ----

    /// A write is on the disk.
    pub(crate) fn on_durable(&mut self, seat: Seat, write: WriteId) {
        if self.queued[seat.index()].remove(&write) {
            match &mut self.dying {
                Some(kept) => *kept += 1,
                None => self.note(seat, "persist", ""),
            }
        }
    }

    /// A state machine is durable up to `slot`.
    pub(crate) fn on_flushed(&mut self, seat: Seat, slot: Slot) {
        self.know(seat, slot);
        self.note(seat, "flush", &format!(", p |-> {slot}"));
    }

    /// A process dies; what its disk kept is told next.
    pub(crate) fn on_death(&mut self) {
        self.dying = Some(0);
    }

    /// A process is dead.
    pub(crate) fn on_dead(&mut self, seat: Seat) {
        let kept = self.dying.take().unwrap_or_default();
        self.queued[seat.index()].clear();
        self.note(seat, "crash", &format!(", kept |-> {kept}"));
    }

    /// A process starts, knowing that much to be chosen.
    pub(crate) fn on_start(&mut self, seat: Seat, promised: Ballot, chosen: Slot) {
        self.chosen[seat.index()] = chosen;
        let promised = self.ballot(promised);
        self.note(
            seat,
            "start",
            &format!(", promised |-> {promised}, chosen |-> {chosen}"),
        );
    }

    // ---- in the model's words ----

    /// A node says or writes something that shows its chosen prefix.
    fn see_prefix(&mut self, seat: Seat, message: &Message) {
        match message {
            Message::Promise { chosen, .. }
            | Message::Accept { chosen, .. }
            | Message::Commit { chosen, .. }
            | Message::Heartbeat { chosen, .. }
            | Message::HeartbeatAck { chosen, .. }
            | Message::HandOver { chosen, .. }
            | Message::Decided { chosen, .. }
            | Message::Canvass { chosen, .. }
            | Message::CanvassReply { chosen, .. }
            | Message::Chosen { chosen, .. } => self.know(seat, *chosen),
            _ => {}
        }
    }

    fn know(&mut self, seat: Seat, chosen: Slot) {
        while self.chosen[seat.index()] < chosen {
            let next = self.chosen[seat.index()].next();
            self.chosen[seat.index()] = next;
            let slot = self.slot(next);
            self.note(seat, "know", &format!(", s |-> {slot}"));
        }
    }

    /// Those messages that wait for writes.
    fn message(&mut self, from: Seat, message: &Message) -> Option<String> {
        let from = from.node();
        Some(match message {
            Message::Prepare {
                ballot, from: first, ..
            } => {
                let ballot = self.ballot(*ballot);
                format!("[type |-> \"prepare\", ballot |-> {ballot}, first |-> {first}]")
            }
            Message::Promise {
                ballot,
                from: first,
                to,
                votes,
                chosen,
                ..
            } => {
                let ballot = self.ballot(*ballot);
                let votes: BTreeMap<_, _> = votes.iter().map(|vote| self.vote(vote)).collect();
                format!(
                    "[type |-> \"promise\", from |-> {from}, ballot |-> {ballot}, first |-> {first}, last |-> {}, \
                     chosen |-> {chosen}, votes |-> {}]",
                    to.unwrap_or_default(),
                    function(&votes)
                )
            }
            Message::Accepted { ballot, slot } => {
                let (ballot, slot) = (self.ballot(*ballot), self.slot(*slot));
                format!("[type |-> \"accepted\", from |-> {from}, ballot |-> {ballot}, slot |-> {slot}]")
            }
            _ => return None,
        })
    }

    fn vote(&mut self, vote: &Vote) -> (u64, String) {
        let ballot = self.ballot(vote.ballot);
        (self.slot(vote.slot), self.entry(ballot, &vote.value))
    }

    fn entry(&mut self, ballot: u64, value: &Value) -> String {
        format!("[ballot |-> {ballot}, value |-> {}]", self.value(value))
    }

    fn number(&self, ballot: Ballot) -> u64 {
        ballot.round * ROUND + ballot.leader.0
    }

    fn ballot(&mut self, ballot: Ballot) -> u64 {
        let number = self.number(ballot);
        self.ballots.insert(number);
        number
    }

    fn slot(&mut self, slot: Slot) -> u64 {
        self.last_slot = self.last_slot.max(slot);
        slot.0
    }

    /// Values have numbers in the model; 0 is a no-op.
    fn value(&mut self, value: &Value) -> usize {
        if *value == Value::Noop {
            return 0;
        }
        let known = self.values.iter().position(|known| same(known, value));
        known.unwrap_or_else(|| {
            self.values.push(value.clone());
            self.values.len() - 1
        }) + 1
    }

    /// The module that `Trace.tla` is run with.
    pub(crate) fn module(&self, configuration: &Configuration, title: &str) -> String {
        let mut text = format!("---- MODULE Run ----\n\\* {title}\nEXTENDS Trace\n\n");
        let nodes = configuration.members().len();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "RunNode == 1 .. {nodes}\nRunBallot == {{{}}} \\ {{0}}\nRunSlot == 1 .. {}\nRunCommand == 1 .. {}\nRunAlpha == {}\n\
             RunQuorum1 == {}\nRunQuorum2 == {}\n\nRunLog == <<\n    {}\n>>\n\n====\n",
            self.ballots.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
            self.last_slot,
            self.values.len(),
            configuration.alpha(),
            quorums(configuration, Phase::One),
            quorums(configuration, Phase::Two),
            self.lines.join(",\n    ")
        );
        text
    }
}

/// A function of TLA+ from slots.
fn function(entries: &BTreeMap<u64, String>) -> String {
    if entries.is_empty() {
        return "Nothing".to_owned();
    }
    let entries: Vec<_> = entries
        .iter()
        .map(|(slot, entry)| format!("{slot} :> {entry}"))
        .collect();
    format!("({})", entries.join(" @@ "))
}

/// The quorums that no smaller one is part of, as sets of node numbers.
fn quorums(configuration: &Configuration, phase: Phase) -> String {
    let nodes = configuration.members().len();
    let is_quorum = |bits: u64| configuration.is_quorum(phase, NodeSet::from_bits(bits));
    let without = |bits: u64| {
        (0..nodes)
            .map(move |node| bits & !(1 << node))
            .filter(move |less| *less != bits)
    };
    let sets: Vec<_> = (0..1u64 << nodes)
        .filter(|bits| is_quorum(*bits) && !without(*bits).any(is_quorum))
        .map(|bits| {
            let members: Vec<_> = (0..nodes)
                .filter(|node| bits >> node & 1 == 1)
                .map(|node| (node + 1).to_string())
                .collect();
            format!("{{{}}}", members.join(", "))
        })
        .collect();
    format!("{{{}}}", sets.join(", "))
}
