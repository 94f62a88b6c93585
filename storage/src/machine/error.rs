//! Why a request was refused.

use thiserror::Error;

/// A verdict on a request that every node reaches alike; the texts are etcd's where etcd has one, because clients
/// recognise errors by their text.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Error)]
pub enum KvError {
    /// A key is empty.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// A put that keeps the value or the lease of a key that does not exist, or an operation of no kind.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// A put is to keep the value, and brings one.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A put is to keep the lease, and names one.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// A transaction has more comparisons or operations than is allowed.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A transaction could put a key twice, or put and delete it.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// A sort order or target that does not exist.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    /// Keys and values are together larger than is allowed.
    #[error("etcdserver: request is too large")]
    TooLarge,
    /// The lease that a put names does not exist.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// The revision asked for is no longer kept.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision asked for does not exist yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The command's node has used a later process, or the command's number is done already, or too old: it took no effect
    /// here (X1). Nobody waits for such an answer unless two processes of a node took each other's numbers.
    #[error("synod: the command came too late to take effect")]
    TooLate,
    /// The payload of a log entry is not a command. No node proposes such a payload.
    #[error("synod: the payload of the log entry is not a command")]
    Malformed,
}
