//! This node's state, as the client API reads it.

use bytes::Bytes;
use paxos::Slot;
use storage::machine::{Hash, Range, RangeReply, ReadError, Reader, Revision, Txn, TxnReply};
use storage::snapshot::{Origin, PIECE_BYTES, Source};
use storage::tables::{RocksTables, TablesError};
use tokio::sync::watch;

use crate::api::{Store, Unread};
use crate::guard::StateGuard;

/// Reads what this node has applied.
pub(super) struct LocalState {
    pub(super) reader: Reader<RocksTables>,
    pub(super) swept: watch::Receiver<i64>,
    /// Hears of what cannot be read.
    pub(super) guard: StateGuard,
    /// What this node had applied before it started, or had begun to.
    pub(super) had: Slot,
}

impl LocalState {
    /// Tells the client why there is nothing; a fault of the disk ends the node.
    fn unread(&self, error: ReadError) -> Unread {
        match error {
            ReadError::Refused(error) => Unread::Refused(error),
            ReadError::Failed(TablesError::Closing) => Unread::Ending,
            ReadError::Failed(error) => {
                self.guard.met("the state cannot be read for a client", &error);
                Unread::Ending
            }
        }
    }

    fn pieces(&self, origin: Origin, take: &mut dyn FnMut(Revision, Bytes) -> bool) -> Result<(), TablesError> {
        let mut source = Source::new(self.reader.freeze(), origin, self.reader.rows(), PIECE_BYTES)?;
        let revision = source.header().progress.revision;
        let mut number = 0;
        while let Some(piece) = source.piece(number)? {
            if !take(revision, piece.payload) {
                return Ok(());
            }
            number += 1;
        }
        Ok(())
    }
}

impl Store for LocalState {
    fn revision(&self) -> Revision {
        self.reader.revision()
    }

    fn is_whole(&self, known: Slot) -> bool {
        let applied = self.reader.applied();
        applied >= self.had && (applied > Slot::ZERO || known == Slot::ZERO)
    }

    fn range(&self, range: &Range) -> Result<(RangeReply, Revision), Unread> {
        self.reader.range(range).map_err(|error| self.unread(error))
    }

    fn read_txn(&self, txn: &Txn) -> Result<(TxnReply, Revision), Unread> {
        self.reader.txn(txn).map_err(|error| self.unread(error))
    }

    fn swept(&self) -> watch::Receiver<i64> {
        self.swept.clone()
    }

    fn hash(&self, revision: i64) -> Result<Hash, Unread> {
        self.reader.hash(revision).map_err(|error| self.unread(error))
    }

    fn snapshot(&self, origin: Origin, take: &mut dyn FnMut(Revision, Bytes) -> bool) -> Result<(), Unread> {
        self.pieces(origin, take).map_err(|error| self.unread(error.into()))
    }

    fn reclaim(&self) -> Result<(), Unread> {
        self.reader.reclaim().map_err(|error| self.unread(error.into()))
    }
}
