//! How far the state machine has come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use paxos::Slot;

use super::digest::Digest;
use super::keys;
use super::reply::Revision;
use crate::tables::{Tables, TablesError};

/// How far the state machine has come; part of every table batch, so that it is durable together with the effects (C2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Every slot up to here is applied.
    pub applied: Slot,
    /// The store's revision.
    pub revision: Revision,
    /// A hash of everything that was applied: equal on all nodes that have applied the same slots.
    pub digest: u64,
}

/// The layout of the tables that this build writes.
const FORMAT: u8 = 1;
const LEN: usize = 1 + 8 + 8 + 8;

impl Progress {
    /// Nothing is applied.
    pub(crate) const START: Progress = Progress {
        applied: Slot::ZERO,
        revision: Revision::FIRST,
        digest: Digest::START.0,
    };

    pub(super) fn encode(self) -> [u8; LEN] {
        let mut bytes = [FORMAT; LEN];
        bytes[1..9].copy_from_slice(&self.applied.0.to_le_bytes());
        bytes[9..17].copy_from_slice(&self.revision.0.to_le_bytes());
        bytes[17..].copy_from_slice(&self.digest.to_le_bytes());
        bytes
    }

    /// What the tables say; empty tables are at the start.
    pub(crate) fn load(tables: &impl Tables) -> Result<Progress, TablesError> {
        match tables.get(keys::META)? {
            Some(bytes) => Progress::decode(&bytes),
            None => Ok(Progress::START),
        }
    }

    /// What stands at [`keys::META`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Progress, TablesError> {
        let numbers: [u8; LEN] = match <[u8; LEN]>::try_from(bytes) {
            Ok(numbers) if numbers[0] == FORMAT => numbers,
            _ => return Err(fault(bytes)),
        };
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| numbers[at + index]));
        Ok(Progress {
            applied: Slot(number(1)),
            revision: Revision(number(9).cast_signed()),
            digest: number(17),
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
}

impl<T: Tables> Shared<T> {
    pub(super) fn open(tables: T) -> Result<(Arc<Shared<T>>, Progress), TablesError> {
        let progress = Progress::load(&tables)?;
        let shared = Shared {
            tables,
            published: RwLock::new(progress),
            flushed: RwLock::new(progress.applied),
            unflushed: AtomicU64::new(0),
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
            self.tables.flush()?;
        }
        let mut flushed = self.flushed.write().expect("no thread panics while it holds the lock");
        *flushed = applied.max(*flushed);
        self.unflushed.fetch_sub(bytes, Ordering::Relaxed);
        Ok(*flushed)
    }
}
