//! The real state machine, on tables in memory.

use std::collections::{BTreeMap, BTreeSet};

use paxos::{Batch, CommandId, Configurations, Entry, Slot, Value};
use quorum::{Configuration, NodeId};
use storage::machine::{Applied, Machine as Store, Reader, Revision, Stride, Sweeper};
use storage::tables::Tables;

use crate::mutant::Mutant;
use crate::tables::{DiskTables, SLIP};
use crate::workload::{Found, Query};

/// Memory for the numbers of recently used keys: small, so that some must be read.
const HEAD_CACHE_BYTES: usize = 2 << 10;

/// The state machine of one process, or of a checker.
pub(crate) struct Machine {
    store: Store<DiskTables>,
    reader: Reader<DiskTables>,
    sweeper: Sweeper<DiskTables>,
    slip: Option<Slip>,
}

/// A mutant's state machine: it takes commands for new ones that should do nothing any more (X1).
struct Slip {
    mutant: Mutant,
    /// What it has done, and the newest process of each node.
    done: BTreeSet<CommandId>,
    newest: BTreeMap<NodeId, u64>,
    renamed: u64,
}

/// Few rows: a sweep takes many strides, and much happens between them.
const STRIDE: Stride = Stride {
    rows: 7,
    bytes: u64::MAX,
};

impl Machine {
    /// The state machine that these tables hold, of a cluster that began with the configuration `genesis`.
    pub(crate) fn open(tables: DiskTables, genesis: &Configuration) -> Machine {
        let mut store = Store::open(tables, HEAD_CACHE_BYTES).expect("tables in memory can be read");
        store.found(genesis.clone());
        let reader = store.reader();
        let sweeper = store.sweeper().expect("tables in memory can be read");
        Machine {
            store,
            reader,
            sweeper,
            slip: None,
        }
    }

    /// The same, as the mutant has it.
    pub(crate) fn wrong(mut self, mutant: Option<Mutant>) -> Machine {
        self.slip = mutant
            .filter(|mutant| matches!(mutant, Mutant::RepeatApplied | Mutant::EarlierProcessApplied))
            .map(|mutant| Slip {
                mutant,
                done: BTreeSet::new(),
                newest: BTreeMap::new(),
                renamed: 0,
            });
        self
    }

    /// The last slot whose effects are in the state.
    pub(crate) fn applied(&self) -> Slot {
        self.store.progress().applied
    }

    /// The same for two machines only if they have applied the same entries in the same order.
    pub(crate) fn digest(&self) -> u64 {
        self.store.progress().digest
    }

    /// The store's revision.
    pub(crate) fn revision(&self) -> Revision {
        self.store.progress().revision
    }

    /// The configurations as of the applied slot; nothing as long as there was no change.
    pub(crate) fn configurations(&self) -> Option<Configurations> {
        self.store.configurations().cloned()
    }

    /// Applies entries; returns what the commands among them answered that `wanted` asks for.
    pub(crate) fn apply(&mut self, entries: &[Entry], wanted: impl Fn(CommandId) -> bool) -> Vec<(CommandId, Applied)> {
        let mut answers = Vec::new();
        let renamed: Vec<Entry>;
        let entries = match &mut self.slip {
            Some(slip) => {
                renamed = entries.iter().map(|entry| slip.rename(entry)).collect();
                &renamed
            }
            None => entries,
        };
        self.store
            .apply(entries, wanted, |id, applied| answers.push((id, applied)))
            .expect("clients give commands, and tables in memory do not fail");
        answers
    }

    /// A mutant's state machine: takes the slot for granted without its effects.
    pub(crate) fn skip(&mut self, slot: Slot) {
        let value = Value::Noop;
        self.apply(&[Entry { slot, value }], |_| false);
    }

    /// What it is kept in.
    pub(crate) fn tables(&self) -> &DiskTables {
        self.store.tables()
    }

    /// Takes out some of what compaction has left over; whether there was anything to look at.
    pub(crate) fn sweep(&mut self) -> bool {
        let swept = self.sweeper.step(STRIDE).expect("tables in memory do not fail");
        swept.is_some()
    }

    /// A digest of all that the tables hold, but for what compaction has left over.
    pub(crate) fn bits(&self) -> u64 {
        self.store.tables().digest(self.store.progress().compacted)
    }

    /// Makes all effects durable.
    pub(crate) fn flush(&self) {
        self.store.tables().flush().expect("tables in memory do not fail");
    }

    /// Reads what is applied.
    pub(crate) fn read(&self, query: &Query) -> Found {
        match query {
            Query::Range(range) => Found::Range(self.reader.range(range).map_err(|error| error.to_string())),
            Query::Txn(txn) => Found::Txn(self.reader.txn(txn).map_err(|error| error.to_string())),
        }
    }
}

impl Slip {
    /// The entry, with a fresh name for each command that is to be done though it should do nothing.
    fn rename(&mut self, entry: &Entry) -> Entry {
        let Value::Commands(batch) = &entry.value else {
            return entry.clone();
        };
        let mut commands: Vec<_> = batch.iter().collect();
        for command in &mut commands {
            let id = command.id;
            let newest = self.newest.entry(id.origin).or_default();
            *newest = id.boot.max(*newest);
            let earlier = id.boot < *newest;
            let again = !self.done.insert(id);
            let slips = match self.mutant {
                Mutant::RepeatApplied => again && !earlier,
                _ => earlier,
            };
            if slips {
                self.renamed += 1;
                command.id.origin = SLIP;
                command.id.sequence = self.renamed;
            }
        }
        Entry {
            slot: entry.slot,
            value: Value::Commands(Batch::pack(&commands)),
        }
    }
}
