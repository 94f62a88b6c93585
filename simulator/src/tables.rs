//! What a node's state machine is kept in: tables in memory that outlive its processes, and lose in a crash what was not
//! flushed.

use std::sync::{Arc, Mutex};

use quorum::NodeId;
use storage::machine::{Leftovers, is_session};
use storage::tables::{FrozenMemory, LOCAL, MemoryTables, Step, TableBatch, Tables, TablesError};

use crate::trace::digest;

/// Where the state machine keeps how far it has come.
const PROGRESS: &[u8] = b"m";

/// Only for a mutant: its state machine does under the name of this node what it should not do again.
pub(crate) const SLIP: NodeId = NodeId(u64::MAX);

fn is_slip(key: &[u8]) -> bool {
    is_session(key) && key.ends_with(&SLIP.0.to_be_bytes())
}

/// The tables of one node; clones are the same tables.
#[derive(Clone, Default)]
pub(crate) struct DiskTables {
    memory: Arc<MemoryTables>,
    /// Only for a mutant: the progress that its next batch will write.
    late: Option<Arc<Mutex<Option<Vec<u8>>>>>,
}

impl DiskTables {
    /// A mutant's tables: a batch brings the progress of the batch before it.
    pub(crate) fn with_late_progress() -> DiskTables {
        DiskTables {
            memory: Arc::default(),
            late: Some(Arc::default()),
        }
    }

    /// A crash: what was not flushed is gone.
    pub(crate) fn lose_unflushed(&self) {
        self.memory.lose_unflushed();
        if let Some(late) = &self.late {
            *late.lock().expect("one thread") = None;
        }
    }

    /// Tables of the same kind that hold this.
    pub(crate) fn beside(&self, memory: MemoryTables) -> DiskTables {
        DiskTables {
            memory: Arc::new(memory),
            late: self.late.as_ref().map(|_| Arc::default()),
        }
    }

    /// Only for a mutant: these rows, and the progress of other tables.
    pub(crate) fn with_progress_of(&self, other: &DiskTables) -> DiskTables {
        let copy = self.copy();
        let mut batch = copy.memory.batch(64);
        if let Some(progress) = other.memory.get(PROGRESS).expect("memory does not fail") {
            batch.put(PROGRESS, &progress);
        }
        copy.memory.write(batch).expect("memory does not fail");
        copy
    }

    /// Only for a mutant: one bit of the last row is not what it was.
    pub(crate) fn taint(tables: &MemoryTables) {
        let mut last = None;
        tables
            .scan(b"", None, &mut |key, value| {
                if key.first() != Some(&LOCAL) && key != PROGRESS && !value.is_empty() {
                    last = Some((key.to_vec(), value.to_vec()));
                }
                Step::Next
            })
            .expect("memory does not fail");
        if let Some((key, mut value)) = last {
            *value.last_mut().expect("it is not empty") ^= 1;
            let mut batch = tables.batch(64);
            batch.put(&key, &value);
            tables
                .write(batch)
                .and_then(|()| tables.flush())
                .expect("memory does not fail");
        }
    }

    /// A digest of everything in them that nodes share, but for what compaction at `compacted` leaves over.
    pub(crate) fn digest(&self, compacted: i64) -> u64 {
        let mut whole = 0u64;
        let mut leftovers = Leftovers::new(compacted);
        self.memory
            .scan(b"", None, &mut |key, value| {
                if key.first() == Some(&LOCAL) || is_slip(key) || leftovers.drops(key, value) {
                    return Step::Next;
                }
                for part in [digest(key), digest(value)] {
                    whole = (whole ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
                }
                Step::Next
            })
            .expect("memory does not fail");
        whole
    }

    /// Bytes of all keys and values.
    pub(crate) fn bytes(&self) -> usize {
        let mut bytes = 0;
        let counted = self.memory.scan(b"", None, &mut |key, value| {
            bytes += key.len() + value.len();
            Step::Next
        });
        counted.expect("memory does not fail");
        bytes
    }

    /// Other tables with the same content, all of it durable.
    pub(crate) fn copy(&self) -> DiskTables {
        let copy = MemoryTables::new();
        let mut batch = copy.batch(0);
        let copied = self.memory.scan(b"", None, &mut |key, value| {
            batch.put(key, value);
            Step::Next
        });
        copied
            .and_then(|()| copy.write(batch))
            .and_then(|()| copy.flush())
            .expect("memory does not fail");
        DiskTables {
            memory: Arc::new(copy),
            late: self.late.as_ref().map(|_| Arc::default()),
        }
    }
}

impl Tables for DiskTables {
    type Batch = DiskBatch;
    type Frozen<'t> = FrozenMemory;

    fn batch(&self, bytes: usize) -> DiskBatch {
        DiskBatch {
            changes: self.memory.batch(bytes),
            late: self.late.clone(),
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError> {
        self.memory.get(key)
    }

    fn first_in_group(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), TablesError> {
        self.memory.first_in_group(from, visit)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), TablesError> {
        self.memory.scan(from, to, visit)
    }

    fn freeze(&self) -> FrozenMemory {
        self.memory.freeze()
    }

    fn write(&self, batch: DiskBatch) -> Result<(), TablesError> {
        self.memory.write(batch.changes)
    }

    fn flush(&self) -> Result<(), TablesError> {
        self.memory.flush()
    }

    fn size(&self) -> u64 {
        self.memory.size()
    }

    fn rows(&self) -> u64 {
        self.memory.rows()
    }
}

/// A batch of writes to [`DiskTables`].
pub(crate) struct DiskBatch {
    changes: <MemoryTables as Tables>::Batch,
    late: Option<Arc<Mutex<Option<Vec<u8>>>>>,
}

impl TableBatch for DiskBatch {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        match &self.late {
            Some(late) if key == PROGRESS => {
                let before = late.lock().expect("one thread").replace(value.to_vec());
                if let Some(before) = before {
                    self.changes.put(key, &before);
                }
            }
            _ => self.changes.put(key, value),
        }
    }

    fn delete(&mut self, key: &[u8]) {
        self.changes.delete(key);
    }
}
