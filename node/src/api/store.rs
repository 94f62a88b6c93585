//! What the API reads without asking the cluster.

use storage::machine::{Range, RangeReply, ReadError, Reader, Revision, Txn, TxnReply};
use storage::tables::Tables;

/// The state that this node has applied. Each call sees one moment of it, and says which revision that was.
pub trait Store: Send + Sync + 'static {
    /// The revision now.
    fn revision(&self) -> Revision;

    /// Reads a range.
    ///
    /// # Errors
    /// [`ReadError`].
    fn range(&self, range: &Range) -> Result<(RangeReply, Revision), ReadError>;

    /// Evaluates a transaction that writes nothing.
    ///
    /// # Errors
    /// [`ReadError`].
    fn txn(&self, txn: &Txn) -> Result<(TxnReply, Revision), ReadError>;
}

impl<T: Tables> Store for Reader<T>
where
    Reader<T>: Send + Sync + 'static,
{
    fn revision(&self) -> Revision {
        Reader::revision(self)
    }

    fn range(&self, range: &Range) -> Result<(RangeReply, Revision), ReadError> {
        Reader::range(self, range)
    }

    fn txn(&self, txn: &Txn) -> Result<(TxnReply, Revision), ReadError> {
        Reader::txn(self, txn)
    }
}
