//! Reading the store, and making it durable, from other threads than the one that applies.

use std::sync::Arc;

use paxos::Slot;
use thiserror::Error;

use super::command::{Op, Range, Txn};
use super::error::KvError;
use super::hash::{Hash, hash};
use super::progress::{Progress, Shared};
use super::reply::{OpReply, OpResult, RangeReply, Revision, TxnReply};
use super::view::View;
use super::write::{check_ranges, next};
use crate::tables::{Tables, TablesError};

/// Reads the store. Every read sees one state: all effects of some slot at or after the slot that was applied when the
/// read began, and no others. It needs no snapshot for that, because versions never change once they are in the tables,
/// and go only when compaction has said that nobody may ask for them. Clones are cheap.
pub struct Reader<T: Tables> {
    shared: Arc<Shared<T>>,
}

impl<T: Tables> Clone for Reader<T> {
    fn clone(&self) -> Reader<T> {
        Reader {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// Why there is nothing to read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ReadError {
    /// The request asks for what is not there; the client is told.
    #[error(transparent)]
    Refused(#[from] KvError),
    /// The tables failed; the node must stop.
    #[error(transparent)]
    Failed(#[from] TablesError),
}

impl<T: Tables> Reader<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Reader<T> {
        Reader { shared }
    }

    /// Reads a range; also returns the store's revision as the read saw it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn range(&self, range: &Range) -> Result<(RangeReply, Revision), ReadError> {
        self.whole(|view, compacted| {
            let at = range.at(view.now, compacted)?;
            Ok((range.read(view, at)?, at))
        })
    }

    /// Evaluates a transaction that only reads; also returns the store's revision as it saw it.
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// # Panics
    /// If the transaction could write: those go through the log.
    pub fn txn(&self, txn: &Txn) -> Result<(TxnReply, Revision), ReadError> {
        assert!(
            txn.is_read_only(),
            "a transaction that could write was to be evaluated as a read"
        );
        self.whole(|view, compacted| {
            let mut path = Vec::new();
            view.path(txn, &mut path)?;
            let oldest = check_ranges(txn, view.now, compacted, &mut path.clone().into_iter())?;
            Ok((evaluate(view, txn, compacted, &mut path.into_iter())?, oldest))
        })
    }

    /// Reads at what is applied now. `read` also says which is the oldest revision that it looked at: if the store was
    /// compacted beyond that meanwhile, a sweep may have taken what was to be found, and so it is read again.
    fn whole<R>(
        &self,
        read: impl Fn(&View<'_, T>, i64) -> Result<(R, i64), ReadError>,
    ) -> Result<(R, Revision), ReadError> {
        loop {
            let progress = self.shared.progress();
            let view = View::new(&self.shared.tables, None, progress.revision.0);
            let (found, oldest) = read(&view, progress.compacted)?;
            if oldest >= self.shared.progress().compacted {
                return Ok((found, progress.revision));
            }
        }
    }

    /// A hash over every version that is kept up to `revision`; 0 or less: up to now. It reads all of them.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hash(&self, revision: i64) -> Result<Hash, ReadError> {
        hash(&self.shared.tables, revision)
    }

    /// Every slot up to here is applied, and visible to the reads that follow.
    #[must_use]
    pub fn applied(&self) -> Slot {
        self.progress().applied
    }

    /// The store's revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.progress().revision
    }

    /// How far the state machine has come: slot, revision and digest belong together.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// What compaction at this revision leaves over is gone from the tables of this node; -1: nothing ever was.
    #[must_use]
    pub fn swept(&self) -> i64 {
        self.shared.swept()
    }

    /// What is applied now, for as long as the result lives.
    #[must_use]
    pub fn freeze(&self) -> T::Frozen<'_> {
        self.shared.tables.freeze()
    }

    /// How many rows the tables have; about.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.shared.tables.rows()
    }

    /// Gives the space of what is gone back at once; see [`Tables::reclaim`].
    ///
    /// # Errors
    /// [`TablesError`]: the node must stop.
    pub fn reclaim(&self) -> Result<(), TablesError> {
        self.shared.tables.reclaim()
    }

    /// Bytes of [`size`](Reader::size) that hold what can still be read; about.
    #[must_use]
    pub fn live_size(&self) -> u64 {
        self.shared.tables.live_size()
    }

    /// Ends whatever takes long on other threads; see [`Tables::interrupt`].
    pub fn interrupt(&self) {
        self.shared.tables.interrupt();
    }

    /// Whether the tables have been written in the background; see [`Tables::sound`].
    ///
    /// # Errors
    /// [`TablesError`]; the node must stop.
    pub fn sound(&self) -> Result<(), TablesError> {
        self.shared.tables.sound()
    }

    /// The tables underneath.
    #[must_use]
    pub fn tables(&self) -> &T {
        &self.shared.tables
    }

    /// Bytes that the tables take; about.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shared.tables.size()
    }
}

fn evaluate<T: Tables>(
    view: &View<'_, T>,
    txn: &Txn,
    compacted: i64,
    path: &mut std::vec::IntoIter<bool>,
) -> Result<TxnReply, ReadError> {
    let succeeded = next(path);
    let mut responses = Vec::new();
    for op in txn.branch(succeeded) {
        let result = match op {
            Op::Range(range) => OpResult::Range(range.read(view, range.at(view.now, compacted)?)?),
            Op::Txn(nested) => OpResult::Txn(evaluate(view, nested, compacted, path)?),
            Op::Put(_) | Op::DeleteRange(_) => unreachable!("the transaction only reads"),
        };
        responses.push(OpReply {
            revision: Revision(view.now),
            result,
        });
    }
    Ok(TxnReply { succeeded, responses })
}

/// Makes effects durable while others are applied. Clones are cheap.
pub struct Flusher<T: Tables> {
    shared: Arc<Shared<T>>,
}

impl<T: Tables> Clone for Flusher<T> {
    fn clone(&self) -> Flusher<T> {
        Flusher {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T: Tables> Flusher<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Flusher<T> {
        Flusher { shared }
    }

    /// Makes everything durable that was applied before the call; returns how far that is.
    ///
    /// # Errors
    /// [`TablesError`]: the node must stop.
    pub fn flush(&self) -> Result<Slot, TablesError> {
        self.shared.flush()
    }

    /// Every slot up to here has durable effects, as far as it was asked for.
    #[must_use]
    pub fn flushed(&self) -> Slot {
        self.shared.flushed()
    }

    /// Bytes that were applied since the last flush, about.
    #[must_use]
    pub fn unflushed_bytes(&self) -> u64 {
        self.shared.unflushed()
    }
}
