//! The state machine: a key-value store that keeps every version of every key.

mod command;
mod error;
mod reply;
mod span;
mod validate;

pub use command::{
    Command, Compare, CompareResult, CompareTarget, DeleteRange, FORMAT, MAX_DEPTH, Op, Put, Range, SortOrder,
    SortTarget, Txn, Undecodable,
};
pub use error::KvError;
pub use reply::{
    Applied, DeleteRangeReply, KeyValue, OpReply, OpResult, PutReply, RangeReply, Reply, Revision, TxnReply,
};
pub use validate::{Limits, validate, validate_range, validate_txn};
