//! The real state machine, on tables in memory.

use paxos::{CommandId, Configurations, Entry, Slot, Value};
use quorum::Configuration;
use storage::machine::{Applied, Machine as Store, Reader, Revision, Stride, Sweeper};
use storage::tables::Tables;

use crate::tables::DiskTables;
use crate::workload::{Found, Query};

/// Memory for the numbers of recently used keys: small, so that some must be read.
const HEAD_CACHE_BYTES: usize = 2 << 10;

/// The state machine of one process, or of a checker.
pub(crate) struct Machine {
    store: Store<DiskTables>,
    reader: Reader<DiskTables>,
    sweeper: Sweeper<DiskTables>,
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
        Machine { store, reader, sweeper }
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
