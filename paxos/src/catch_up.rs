//! Catching up: fetching chosen values that this node missed, nearest peer first (rules C1, C3, C4, L7).

use alloc::vec::Vec;

use quorum::NodeId;

use crate::ballot::Slot;
use crate::effect::{Event, Logged, Output, Record};
use crate::election::Role;
use crate::message::{Address, Message};
use crate::mutant::{Mutant, mutated};
use crate::replica::Replica;
use crate::time::Time;
use crate::value::Value;

/// Most slots asked for at once.
const FETCH_SLOTS: u64 = 1024;

/// Most bytes of values sent at once.
const FETCH_BYTES: usize = 4 << 20;

/// The state of this node's catching up.
#[derive(Clone, Hash, Debug, Default)]
pub(crate) struct CatchUp {
    /// When to ask, or to ask somebody else.
    due: Option<Time>,
    /// Who was asked.
    asked: Option<Address>,
    /// Who sent something that another had trimmed: it holds what follows too, and the other does not.
    server: Option<Address>,
    /// Who could not help since the chosen prefix last grew.
    tried: Vec<NodeId>,
    /// Who said, since the chosen prefix last grew, that it no longer has what comes next, and up to where.
    trimmed: Vec<(Address, Slot)>,
    /// Only those are asked who were silent, for the second time since the chosen prefix last grew.
    again: bool,
    /// The chosen prefix when somebody was last asked.
    since: Slot,
}

impl CatchUp {
    /// The chosen prefix has grown: everybody may be asked again.
    fn renew(&mut self) {
        self.tried.clear();
        self.trimmed.clear();
        self.again = false;
    }
}

impl Replica {
    /// Notices that chosen slots are missing. A follower grants a moment: their votes may be on the way.
    pub(crate) fn settle_catch_up(&mut self) {
        if self.log.chosen >= self.log.known {
            self.catch_up = CatchUp::default();
            return;
        }
        if self.catch_up.due.is_some() || self.awaits_snapshot() {
            return;
        }
        let far = self.log.known > self.log.chosen.plus(self.configurations.alpha());
        let urgent = matches!(self.role, Role::Preparing(_)) || far;
        let grace = self.patience() / 4;
        self.catch_up.due = Some(if urgent { self.now } else { self.now + grace });
    }

    pub(crate) fn catch_up_deadline(&self) -> Time {
        if !self.has_space() {
            return Time::NEVER;
        }
        self.catch_up.due.unwrap_or(Time::NEVER)
    }

    pub(crate) fn tick_catch_up(&mut self) {
        if self.now < self.catch_up_deadline() || self.log.chosen >= self.log.known {
            return;
        }
        if let Some(asked) = self.catch_up.asked.take()
            && self.catch_up.since == self.log.chosen
        {
            self.catch_up.tried.push(asked.node);
            self.catch_up.server = None;
        }
        self.fetch();
    }

    /// Begins anew with asking for log entries, at that time.
    pub(crate) fn restart_catch_up(&mut self, at: Time) {
        self.catch_up = CatchUp {
            due: Some(at),
            ..CatchUp::default()
        };
    }

    fn fetch(&mut self) {
        if self.log.chosen > self.catch_up.since {
            self.catch_up.renew();
        }
        let mut peers = self.peers();
        let server = self.catch_up.server;
        peers.sort_by_key(|peer| (Some(*peer) != server, self.round_trip(peer.node)));
        let untried = |tried: &[NodeId]| peers.iter().copied().find(|peer| !tried.contains(&peer.node));
        let mut next = untried(&self.catch_up.tried);
        if next.is_none() {
            if self.is_out_of_reach(&peers) {
                let trimmed = core::mem::take(&mut self.catch_up).trimmed;
                let nearest = trimmed.iter().map(|(_, trimmed)| *trimmed).min().unwrap_or_default();
                self.event(Event::OutOfReach { trimmed: nearest });
                let peers: Vec<Address> = trimmed.into_iter().map(|(peer, _)| peer).collect();
                return self.ask_for_snapshot(&peers);
            }
            // Whoever has trimmed what comes next need not be asked again.
            self.catch_up.again = !self.catch_up.trimmed.is_empty();
            self.catch_up.tried = self.catch_up.trimmed.iter().map(|(peer, _)| peer.node).collect();
            next = untried(&self.catch_up.tried);
        }
        let Some(peer) = next.or(peers.first().copied()) else {
            return;
        };
        let full = self.log_is_full() || !self.has_space();
        let patience = if !full && (self.catch_up.again || server == Some(peer)) {
            // To read a large page may take a disk long, and to fetch a whole state takes longer.
            self.silence() * 2
        } else {
            self.patience()
        };
        self.catch_up.due = Some(self.now + patience);
        if full {
            return;
        }
        let from = self.log.chosen.next();
        let to = self.log.known.min(self.log.chosen.plus(FETCH_SLOTS));
        self.catch_up.asked = Some(peer);
        self.catch_up.since = self.log.chosen;
        self.send(peer, Message::Fetch { from, to });
    }

    /// C3: everybody was asked, and whoever answered has trimmed what comes next; who was silent was asked twice.
    fn is_out_of_reach(&self, peers: &[Address]) -> bool {
        let trimmed = &self.catch_up.trimmed;
        let silent = |peer: &Address| trimmed.iter().all(|(known, _)| known != peer);
        !trimmed.is_empty() && (self.catch_up.again || !peers.iter().any(silent))
    }

    /// A peer misses chosen slots.
    pub(crate) fn on_fetch(&mut self, peer: Address, from: Slot, to: Slot) {
        let (chosen, trimmed) = (self.log.chosen, self.log.trimmed);
        if from <= trimmed {
            if mutated(Mutant::TrimmedUntold) {
                return;
            }
            self.send(peer, Message::Trimmed { trimmed });
            return;
        }
        let mut chosen = chosen;
        if mutated(Mutant::VotesServed) {
            while chosen < to && self.log.value(chosen.next()).is_some() {
                chosen = chosen.next();
            }
        }
        let to = to.min(chosen).min(from.plus(FETCH_SLOTS - 1));
        self.note_fetch(peer, from, to == chosen);
        let evicted = self.log.evicted();
        if from <= to && from <= evicted {
            // What is evicted is chosen in the journal as well. Further on the journal may lag behind memory, and hold a
            // vote that came to nothing (mutant 73).
            self.output(Output::Load {
                peer,
                from,
                to: to.min(evicted),
                max_bytes: FETCH_BYTES,
            });
            return;
        }
        let mut values = Vec::new();
        let mut bytes = 0;
        let mut slot = from;
        while slot <= to && bytes < FETCH_BYTES {
            let value = self
                .log
                .value(slot)
                .expect("a chosen slot above the evicted ones is in memory");
            bytes += value.size();
            values.push(value.clone());
            slot = slot.next();
        }
        self.send(peer, Message::Chosen { from, values, chosen });
    }

    pub(crate) fn on_loaded(&mut self, peer: Address, from: Slot, values: Vec<Value>) {
        let chosen = self.log.chosen;
        self.send(peer, Message::Chosen { from, values, chosen });
    }

    /// C1: chosen values of slots from `first` on.
    pub(crate) fn on_chosen(&mut self, from: Address, first: Slot, values: Vec<Value>, chosen: Slot) {
        self.log.known = self.log.known.max(chosen);
        if !self.has_space() {
            // E5: what is learned is recorded.
            return;
        }
        let before = self.log.chosen;
        let ahead = before.plus(FETCH_SLOTS);
        let mut records = Vec::new();
        let mut slot = first;
        for value in values {
            if slot > self.log.chosen && slot <= ahead {
                self.learn(slot, value, &mut records);
            }
            slot = slot.next();
        }
        if !records.is_empty() {
            self.write(records, Vec::new());
        }
        self.advance();
        if self.log.chosen > before && !self.catch_up.trimmed.is_empty() {
            self.catch_up.server = Some(from);
        }
        if self.catch_up.asked == Some(from) {
            self.catch_up.asked = None;
            if self.log.chosen > self.catch_up.since {
                self.catch_up.renew();
            } else {
                self.catch_up.tried.push(from.node);
            }
            if self.log.chosen < self.log.known && self.catch_up.tried.len() < self.peers().len() {
                self.fetch();
            }
        }
    }

    fn learn(&mut self, slot: Slot, value: Value, records: &mut Vec<Record>) {
        match self.log.at(slot) {
            Some(Logged::Learned(known)) => {
                // A9: what is chosen never changes.
                assert!(
                    *known == value,
                    "slot {slot} is chosen as {known:?} but a peer has {value:?} there"
                );
                return;
            }
            // C1: if this leader went on to announce the slot, votes for its own value would pass for chosen.
            Some(Logged::Voted(ballot, voted)) if Some(*ballot) == self.own_ballot() && *voted != value => {
                self.give_way_unseen(slot);
            }
            _ => {}
        }
        self.log.put(slot, Logged::Learned(value.clone()), self.next_write());
        records.push(Record::Learned { slot, value });
    }

    /// C3: a peer no longer has what this node needs.
    pub(crate) fn on_trimmed(&mut self, from: Address, trimmed: Slot) {
        self.log.known = self.log.known.max(trimmed);
        if self.catch_up.asked == Some(from) {
            self.catch_up.asked = None;
            self.catch_up.server = None;
            self.catch_up.tried.push(from.node);
            self.catch_up.trimmed.insert(0, (from, trimmed));
            self.fetch();
            return;
        }
        // It was given up, and was only slow: others are preferred.
        let catch_up = &mut self.catch_up;
        let counted = catch_up.trimmed.iter().any(|(peer, _)| *peer == from);
        if catch_up.tried.contains(&from.node) && !counted && trimmed > self.log.chosen {
            catch_up.trimmed.push((from, trimmed));
        }
    }
}
