//! This node's state, as the client API reads it.

use storage::machine::{KvError, Range, RangeReply, ReadError, Reader, Revision, Txn, TxnReply};
use storage::tables::RocksTables;

use crate::api::Store;

/// Reads what this node has applied.
pub(super) struct LocalState(pub(super) Reader<RocksTables>);

/// A state that cannot be read says nothing true any more; the panic ends the process (the node's panic hook).
fn sound<T>(read: Result<(T, Revision), ReadError>, now: Revision) -> (Revision, Result<T, KvError>) {
    match read {
        Ok((reply, revision)) => (revision, Ok(reply)),
        Err(ReadError::Refused(error)) => (now, Err(error)),
        Err(ReadError::Failed(error)) => panic!("the state cannot be read: {error}"),
    }
}

impl Store for LocalState {
    fn revision(&self) -> Revision {
        self.0.revision()
    }

    fn range(&self, range: &Range) -> (Revision, Result<RangeReply, KvError>) {
        sound(self.0.range(range), self.0.revision())
    }

    fn read_txn(&self, txn: &Txn) -> (Revision, Result<TxnReply, KvError>) {
        sound(self.0.txn(txn), self.0.revision())
    }
}
