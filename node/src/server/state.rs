//! This node's state, as the client API reads it.

use bytes::Bytes;
use storage::machine::{Hash, KvError, Range, RangeReply, ReadError, Reader, Revision, Txn, TxnReply};
use storage::snapshot::{Origin, PIECE_BYTES, Source};
use storage::tables::RocksTables;
use tokio::sync::watch;

use crate::api::Store;

/// Reads what this node has applied.
pub(super) struct LocalState {
    pub(super) reader: Reader<RocksTables>,
    pub(super) swept: watch::Receiver<i64>,
}

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
        self.reader.revision()
    }

    fn range(&self, range: &Range) -> (Revision, Result<RangeReply, KvError>) {
        sound(self.reader.range(range), self.reader.revision())
    }

    fn read_txn(&self, txn: &Txn) -> (Revision, Result<TxnReply, KvError>) {
        sound(self.reader.txn(txn), self.reader.revision())
    }

    fn swept(&self) -> watch::Receiver<i64> {
        self.swept.clone()
    }

    fn hash(&self, revision: i64) -> Result<Hash, KvError> {
        match self.reader.hash(revision) {
            Ok(hash) => Ok(hash),
            Err(ReadError::Refused(error)) => Err(error),
            Err(ReadError::Failed(error)) => panic!("the state cannot be read: {error}"),
        }
    }

    fn snapshot(&self, origin: Origin, take: &mut dyn FnMut(Revision, Bytes) -> bool) {
        let sound = |error| -> ! { panic!("the state cannot be read: {error}") };
        let frozen = self.reader.freeze();
        let mut source =
            Source::new(frozen, origin, self.reader.rows(), PIECE_BYTES).unwrap_or_else(|error| sound(error));
        let revision = source.header().progress.revision;
        let mut number = 0;
        while let Some(piece) = source.piece(number).unwrap_or_else(|error| sound(error)) {
            if !take(revision, piece.payload) {
                return;
            }
            number += 1;
        }
    }

    fn reclaim(&self) {
        if let Err(error) = self.reader.reclaim() {
            panic!("the state cannot be rewritten: {error}");
        }
    }
}
