//! A new state that is being built from a snapshot.

use paxos::{ClusterId, Slot};

use super::error::SnapshotError;
use super::header::{Header, Summary};
use super::installed;
use super::verifier::{Taken, Verifier};
use crate::tables::{MemoryTables, TableBatch, Tables, TablesError};

/// Where the rows of a new state go, in key order.
pub trait Sink {
    /// What it becomes.
    type State;

    /// Takes the next row.
    ///
    /// # Errors
    /// [`TablesError`] if it cannot be written.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TablesError>;

    /// Makes the whole durable. Not called unless all rows were verified.
    ///
    /// # Errors
    /// [`TablesError`] if it cannot be written.
    fn finish(self, summary: &Summary) -> Result<Self::State, TablesError>;
}

/// Builds a new state from the pieces of the snapshot that was announced, and gives it out only if all of it is verified.
pub struct Staging<S> {
    cluster: ClusterId,
    slot: Slot,
    verifier: Verifier,
    sink: S,
}

impl<S: Sink> Staging<S> {
    /// Waits for the first piece of this cluster's snapshot of this slot.
    pub fn new(cluster: ClusterId, slot: Slot, sink: S) -> Staging<S> {
        Staging {
            cluster,
            slot,
            verifier: Verifier::new(),
            sink,
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`SnapshotError`]: the staging is to be dropped then.
    pub fn take(&mut self, payload: &[u8]) -> Result<Taken, SnapshotError> {
        let sink = &mut self.sink;
        let taken = self.verifier.take(payload, &mut |key, value| sink.put(key, value))?;
        let header = self.verifier.header().expect("a piece was taken");
        let (cluster, slot) = (header.origin.cluster_id, header.progress.applied);
        if cluster != self.cluster {
            return Err(SnapshotError::Foreign {
                what: format!("it is of cluster {:016x}, not {:016x}", cluster.0, self.cluster.0),
            });
        }
        if slot != self.slot {
            return Err(SnapshotError::Foreign {
                what: format!("it is of slot {slot}, not {}", self.slot),
            });
        }
        Ok(taken)
    }

    /// What the snapshot says of itself, once the first piece is there.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.verifier.header()
    }

    /// Rows and bytes that were taken.
    #[must_use]
    pub fn taken(&self) -> (u64, u64) {
        self.verifier.taken()
    }

    /// The new state, durable.
    ///
    /// # Errors
    /// [`SnapshotError`] if it cannot be written, or if the last piece is not there.
    pub fn finish(self) -> Result<(S::State, Summary), SnapshotError> {
        let Some(summary) = self.verifier.summary() else {
            return Err(SnapshotError::Foreign {
                what: "its last piece is not there".to_owned(),
            });
        };
        Ok((self.sink.finish(summary)?, summary.clone()))
    }
}

/// Rows become tables in memory.
#[derive(Default)]
pub struct MemorySink {
    tables: MemoryTables,
}

impl MemorySink {
    /// Empty tables.
    #[must_use]
    pub fn new() -> MemorySink {
        MemorySink::default()
    }
}

impl Sink for MemorySink {
    type State = MemoryTables;

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TablesError> {
        let mut batch = self.tables.batch(key.len() + value.len());
        batch.put(key, value);
        self.tables.write(batch)
    }

    fn finish(self, summary: &Summary) -> Result<MemoryTables, TablesError> {
        let mut batch = self.tables.batch(64);
        installed::mark(&mut batch, summary.header.progress.applied);
        self.tables.write(batch)?;
        self.tables.flush()?;
        Ok(self.tables)
    }
}
