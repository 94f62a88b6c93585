//! What each node on the stage has around its replica: a disk, a state machine, a clock, and clients that wait.

use std::collections::{BTreeMap, VecDeque};

use paxos::{Ballot, Configurations, Entry, Logged, Record, Replica, Slot, Time, Value, Write};
use quorum::Incarnation;

/// What is durable at a node.
#[derive(Clone, Default)]
pub(super) struct Store {
    pub(super) promised: Ballot,
    pub(super) chosen: Slot,
    pub(super) trimmed: Slot,
    pub(super) log: BTreeMap<Slot, Logged>,
    pub(super) configurations: Option<Configurations>,
}

/// What a state machine has applied: each slot's value, and up to where.
#[derive(Clone, Default)]
pub(super) struct Machine {
    pub(super) values: Vec<Value>,
    pub(super) applied: Slot,
}

pub(super) struct Actor {
    pub(super) incarnation: Incarnation,
    pub(super) replica: Option<Replica>,
    pub(super) now: Time,
    pub(super) boot: u64,
    pub(super) store: Store,
    /// Only for a mutant: the store before its last write.
    pub(super) before: Store,
    pub(super) writes: VecDeque<Write>,
    pub(super) holds: bool,
    pub(super) to_apply: VecDeque<Entry>,
    pub(super) asleep: bool,
    pub(super) machine: Machine,
    pub(super) flushed: Machine,
    /// Requests of clients: the value of a write, or what a read must see.
    pub(super) requests: BTreeMap<u64, Result<String, Slot>>,
    pub(super) last_request: u64,
    pub(super) starts: u64,
}

impl Actor {
    /// What the journal holds of consecutive slots, written or about to be.
    pub(super) fn load(&self, from: Slot, to: Slot) -> Vec<Value> {
        let mut log = self.store.log.clone();
        for record in self.writes.iter().flat_map(|write| &write.records) {
            match record {
                Record::Voted { slot, ballot, value } => {
                    log.insert(*slot, Logged::Voted(*ballot, value.clone()));
                }
                Record::Learned { slot, value } => {
                    log.insert(*slot, Logged::Learned(value.clone()));
                }
                Record::Promised(_) | Record::Chosen(_) | Record::Configurations(_) => {}
            }
        }
        (from.0..=to.0)
            .map_while(|slot| log.get(&Slot(slot)).map(|logged| logged.value().clone()))
            .collect()
    }
}
