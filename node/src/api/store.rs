//! What the API reads without asking the cluster.

use bytes::Bytes;
use paxos::Slot;
use storage::machine::{Hash, KvError, Range, RangeReply, Revision, Txn, TxnReply};
use storage::snapshot::Origin;
use tokio::sync::watch;

/// Why there is nothing to read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Unread {
    /// The client asks for what is not there, or not any more.
    Refused(KvError),
    /// The node ends, perhaps because of what was met here.
    Ending,
}

impl From<KvError> for Unread {
    fn from(error: KvError) -> Unread {
        Unread::Refused(error)
    }
}

/// The state that this node has applied. Each call sees one moment of it, and says which revision that was.
///
/// A state that cannot be read says nothing true any more: an implementation ends the node then.
pub trait Store: Send + Sync + 'static {
    /// The revision now.
    fn revision(&self) -> Revision;

    /// Whether there is a state to show to those who do not mind an old one. Not so while a node that lost its state has not
    /// got back what it had, nor while one that never had any knows of slots that are chosen: the highest is `known`.
    fn is_whole(&self, known: Slot) -> bool;

    /// Reads a range.
    ///
    /// # Errors
    /// [`Unread`].
    fn range(&self, range: &Range) -> Result<(RangeReply, Revision), Unread>;

    /// Evaluates a transaction that writes nothing.
    ///
    /// # Errors
    /// As [`Store::range`].
    fn read_txn(&self, txn: &Txn) -> Result<(TxnReply, Revision), Unread>;

    /// Up to which compacted revision old versions are gone from this node.
    fn swept(&self) -> watch::Receiver<i64>;

    /// A hash over every version that is kept up to a revision; 0 or less: up to now. Takes long.
    ///
    /// # Errors
    /// As [`Store::range`].
    fn hash(&self, revision: i64) -> Result<Hash, Unread>;

    /// Gives the pieces of a snapshot of this moment to `take`, with the revision that it shows, until there are no more or
    /// `take` wants none. Takes long.
    ///
    /// # Errors
    /// As [`Store::range`].
    fn snapshot(&self, origin: Origin, take: &mut dyn FnMut(Revision, Bytes) -> bool) -> Result<(), Unread>;

    /// Gives the space of what is gone back to the disk. Takes long.
    ///
    /// # Errors
    /// As [`Store::range`].
    fn reclaim(&self) -> Result<(), Unread>;
}
