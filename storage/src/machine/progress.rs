//! How far the state machine has come.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use paxos::Slot;

use super::digest::Digest;
use super::keys;
use super::reply::Revision;
use crate::step::{self, reached};
use crate::tables::{Frozen, Step, Tables, TablesError};

/// How far the state machine has come; part of every table batch, so that it is durable together with the effects (C2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Every slot up to here is applied.
    pub applied: Slot,
    /// The store's revision.
    pub revision: Revision,
    /// A hash of everything that was applied: equal on all nodes that have applied the same slots.
    pub digest: u64,
    /// The revision at which the store was compacted last, below which there is nothing to read; -1: never.
    pub compacted: i64,
}

/// The layout of the tables that this build writes. Format 1 has no compacted revision, format 2 no configurations and
/// format 3 no sessions beside this; all are read, and written anew with the next batch.
const FORMAT: u8 = 4;
const LEN_1: usize = 1 + 8 + 8 + 8;
const LEN: usize = LEN_1 + 8;

/// Where a store begins that was never compacted. etcd's number: a store may be compacted at 0 once.
const NEVER: i64 = -1;

impl Progress {
    /// Nothing is applied.
    pub(crate) const START: Progress = Progress {
        applied: Slot::ZERO,
        revision: Revision::FIRST,
        digest: Digest::START.0,
        compacted: NEVER,
    };

    pub(super) fn encode(self) -> [u8; LEN] {
        let mut bytes = [FORMAT; LEN];
        bytes[1..9].copy_from_slice(&self.applied.0.to_le_bytes());
        bytes[9..17].copy_from_slice(&self.revision.0.to_le_bytes());
        bytes[17..25].copy_from_slice(&self.digest.to_le_bytes());
        bytes[25..].copy_from_slice(&self.compacted.to_le_bytes());
        bytes
    }

    /// What the tables say; empty tables are at the start.
    pub(crate) fn load(tables: &impl Tables) -> Result<Progress, TablesError> {
        match tables.get(keys::META)? {
            Some(bytes) => Progress::decode(&bytes),
            None => Ok(Progress::START),
        }
    }

    /// What a frozen state says.
    pub(crate) fn frozen(tables: &impl Frozen) -> Result<Progress, TablesError> {
        let mut progress = Ok(Progress::START);
        let behind = [keys::META, &[0]].concat();
        tables.scan(keys::META, Some(&behind), &mut |_, bytes| {
            progress = Progress::decode(bytes);
            Step::Stop
        })?;
        progress
    }

    /// What stands at [`keys::META`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Progress, TablesError> {
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
        let compacted = match (bytes.first(), bytes.len()) {
            (Some(1), LEN_1) => NEVER,
            (Some(&(2 | 3 | FORMAT)), LEN) => number(25).cast_signed(),
            _ => return Err(fault(bytes)),
        };
        Ok(Progress {
            applied: Slot(number(1)),
            revision: Revision(number(9).cast_signed()),
            digest: number(17),
            compacted,
        })
    }
}

fn fault(bytes: &[u8]) -> TablesError {
    match bytes.first() {
        Some(format) if *format > FORMAT => TablesError::Newer {
            found: *format,
            known: FORMAT,
        },
        _ => TablesError::Damaged {
            what: format!("{bytes:?} does not say how far it has come"),
        },
    }
}

/// The tables and how far they have come, as all threads see them.
pub(super) struct Shared<T> {
    pub(super) tables: T,
    /// Set once the effects are in the tables: whoever reads this first and the tables then sees at least this much.
    published: RwLock<Progress>,
    flushed: RwLock<Slot>,
    /// Bytes written to the tables since the last flush, about.
    unflushed: AtomicU64,
    /// What compaction at this revision leaves over is gone from the tables.
    swept: AtomicI64,
}

impl<T: Tables> Shared<T> {
    pub(super) fn open(tables: T) -> Result<(Arc<Shared<T>>, Progress), TablesError> {
        let progress = Progress::load(&tables)?;
        let shared = Shared {
            tables,
            published: RwLock::new(progress),
            flushed: RwLock::new(progress.applied),
            unflushed: AtomicU64::new(0),
            swept: AtomicI64::new(NEVER),
        };
        Ok((Arc::new(shared), progress))
    }

    pub(super) fn progress(&self) -> Progress {
        *self.published.read().expect("no thread panics while it holds the lock")
    }

    /// Shows what a batch of about `bytes` has brought.
    pub(super) fn publish(&self, progress: Progress, bytes: usize) {
        self.unflushed.fetch_add(bytes as u64, Ordering::Relaxed);
        *self
            .published
            .write()
            .expect("no thread panics while it holds the lock") = progress;
    }

    pub(super) fn note_swept(&self, revision: i64) {
        self.swept.store(revision, Ordering::Release);
    }

    pub(super) fn swept(&self) -> i64 {
        self.swept.load(Ordering::Acquire)
    }

    pub(super) fn flushed(&self) -> Slot {
        *self.flushed.read().expect("no thread panics while it holds the lock")
    }

    pub(super) fn unflushed(&self) -> u64 {
        self.unflushed.load(Ordering::Relaxed)
    }

    pub(super) fn flush(&self) -> Result<Slot, TablesError> {
        let bytes = self.unflushed();
        let applied = self.progress().applied;
        if applied > self.flushed() {
            reached(step::Step::Flush);
            self.tables.flush()?;
            reached(step::Step::Flushed);
        }
        let mut flushed = self.flushed.write().expect("no thread panics while it holds the lock");
        *flushed = applied.max(*flushed);
        self.unflushed.fetch_sub(bytes, Ordering::Relaxed);
        Ok(*flushed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{MemoryTables, TableBatch};

    fn load(bytes: &[u8]) -> Result<Progress, TablesError> {
        let tables = MemoryTables::new();
        let mut batch = tables.batch(0);
        batch.put(keys::META, bytes);
        tables.write(batch).expect("memory does not fail");
        Progress::load(&tables)
    }

    #[test]
    fn what_older_builds_wrote_is_read_and_what_newer_ones_wrote_is_refused_with_a_sentence() {
        let progress = Progress {
            applied: Slot(7),
            revision: Revision(5),
            digest: 3,
            compacted: 4,
        };
        assert_eq!(load(&progress.encode()), Ok(progress));
        let mut old = progress.encode()[..LEN_1].to_vec();
        old[0] = 1;
        assert_eq!(
            load(&old),
            Ok(Progress {
                compacted: NEVER,
                ..progress
            })
        );
        let mut without_configurations = progress.encode();
        without_configurations[0] = 2;
        assert_eq!(load(&without_configurations), Ok(progress));
        let mut newer = progress.encode();
        newer[0] = FORMAT + 1;
        let error = load(&newer).expect_err("a newer format").to_string();
        assert!(
            error.contains("format 5, and this build reads formats up to 4"),
            "{error}"
        );
        assert!(load(&progress.encode()[..LEN_1]).is_err(), "too short for its format");
        assert!(load(b"").is_err());
    }
}
