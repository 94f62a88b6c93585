//! What the API reads without asking the cluster.

use bytes::Bytes;
use storage::machine::{Hash, KvError, Range, RangeReply, Revision, Txn, TxnReply};
use storage::snapshot::Origin;
use tokio::sync::watch;

/// The state that this node has applied. Each call sees one moment of it, and says which revision that was.
///
/// A state that cannot be read says nothing true any more: an implementation ends the process then, and returns only
/// what the client is to be told.
pub trait Store: Send + Sync + 'static {
    /// The revision now.
    fn revision(&self) -> Revision;

    /// Reads a range.
    ///
    /// # Errors
    /// The revision asked for is gone or does not exist yet.
    fn range(&self, range: &Range) -> (Revision, Result<RangeReply, KvError>);

    /// Evaluates a transaction that writes nothing.
    ///
    /// # Errors
    /// As [`Store::range`].
    fn read_txn(&self, txn: &Txn) -> (Revision, Result<TxnReply, KvError>);

    /// Up to which compacted revision old versions are gone from this node.
    fn swept(&self) -> watch::Receiver<i64>;

    /// A hash over every version that is kept up to a revision; 0 or less: up to now. Takes long.
    ///
    /// # Errors
    /// As [`Store::range`].
    fn hash(&self, revision: i64) -> Result<Hash, KvError>;

    /// Gives the pieces of a snapshot of this moment to `take`, with the revision that it shows, until there are no more or
    /// `take` wants none. Takes long.
    fn snapshot(&self, origin: Origin, take: &mut dyn FnMut(Revision, Bytes) -> bool);

    /// Gives the space of what is gone back to the disk. Takes long.
    fn reclaim(&self);
}
