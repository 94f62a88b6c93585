//! Reading the store, and making it durable, from other threads than the one that applies.

use std::sync::Arc;

use paxos::Slot;
use thiserror::Error;

use super::command::{Op, Range, Txn};
use super::error::KvError;
use super::progress::{Progress, Shared};
use super::reply::{OpReply, OpResult, RangeReply, Revision, TxnReply};
use super::view::View;
use super::write::{check_ranges, next};
use crate::tables::{Tables, TablesError};

/// Reads the store. Every read sees one state: all effects of some slot at or after the slot that was applied when the
/// read began, and no others. Clones are cheap.
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
        let view = self.view();
        let reply = range.read(&view, range.at(view.now)?)?;
        Ok((reply, Revision(view.now)))
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
        let view = self.view();
        let mut path = Vec::new();
        view.path(txn, &mut path)?;
        check_ranges(txn, view.now, &mut path.clone().into_iter())?;
        Ok((evaluate(&view, txn, &mut path.into_iter())?, Revision(view.now)))
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

    /// Bytes that the tables take; about.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shared.tables.size()
    }

    /// What is applied now, and nothing that comes later: versions never change once they are in the tables.
    fn view(&self) -> View<'_, T> {
        View::new(&self.shared.tables, None, self.shared.progress().revision.0)
    }
}

fn evaluate<T: Tables>(
    view: &View<'_, T>,
    txn: &Txn,
    path: &mut std::vec::IntoIter<bool>,
) -> Result<TxnReply, ReadError> {
    let succeeded = next(path);
    let mut responses = Vec::new();
    for op in txn.branch(succeeded) {
        let result = match op {
            Op::Range(range) => OpResult::Range(range.read(view, range.at(view.now)?)?),
            Op::Txn(nested) => OpResult::Txn(evaluate(view, nested, path)?),
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
