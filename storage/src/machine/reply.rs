//! What commands and reads answer.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::error::KvError;

/// The store's revision: 1 when empty, one more after each command that changed something.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Serialize, Deserialize)]
pub struct Revision(pub i64);

impl Revision {
    /// The revision of a store in which nothing was ever changed.
    pub const FIRST: Revision = Revision(1);
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A key with its value and history in numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The revision in which the key came to be; a deleted key that is put again is a new one.
    pub create_revision: i64,
    /// The revision of the last change.
    pub mod_revision: i64,
    /// How often the key was put since it came to be.
    pub version: i64,
    /// The value.
    pub value: Bytes,
    /// The lease it is attached to; 0: none.
    pub lease: i64,
}

/// How a command ended, in the store of every node alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The store's revision after it.
    pub revision: Revision,
    /// What the client is told. An error means that nothing was changed.
    pub result: Result<Reply, KvError>,
}

/// What a command answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// To a put.
    Put(PutReply),
    /// To a deletion.
    DeleteRange(DeleteRangeReply),
    /// To a transaction.
    Txn(TxnReply),
    /// To a compaction: it is done, and there is nothing to say.
    Compact,
}

/// The answer to a put.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PutReply {
    /// What was there before, if it was asked for and existed.
    pub prev_kv: Option<KeyValue>,
}

/// The answer to a deletion.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeleteRangeReply {
    /// How many keys were deleted.
    pub deleted: i64,
    /// What was deleted, if it was asked for, in key order.
    pub prev_kvs: Vec<KeyValue>,
}

/// The answer to a read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RangeReply {
    /// The keys that were found, sorted, at most as many as the limit; empty for a count.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit left out some.
    pub more: bool,
    /// How many keys the range holds, whatever the limit and the filters left out.
    pub count: i64,
}

/// The answer to a transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TxnReply {
    /// Whether every comparison held.
    pub succeeded: bool,
    /// The answers to the operations of the branch that was taken, in order.
    pub responses: Vec<OpReply>,
}

/// The answer to one operation of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpReply {
    /// The revision that the operation saw or made: the store's before the transaction until an operation changed
    /// something, the transaction's own from then on.
    pub revision: Revision,
    /// The answer.
    pub result: OpResult,
}

/// The answer to one operation, by kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OpResult {
    /// To a read.
    Range(RangeReply),
    /// To a put.
    Put(PutReply),
    /// To a deletion.
    DeleteRange(DeleteRangeReply),
    /// To a nested transaction.
    Txn(TxnReply),
}
