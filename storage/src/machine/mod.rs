//! The state machine: a key-value store that keeps every version of every key.
//!
//! Its meaning is etcd's (version 3), so that clients, tools and habits fit: revisions that count changes of the whole
//! store, ranges, transactions with comparisons and nested operations, reads of the past. It is deterministic: the same
//! entries give the same state, the same replies and the same digest on every node, however they are batched.
//!
//! * A **command** ([`Command`]) is what goes through the log; [`validate()`] refuses what no node should propose.
//! * [`Machine`] applies chosen entries. It is the only writer. What many entries change is collected (`pending`) and
//!   reaches the tables in one batch, together with the applied slot (C2). A put need not read, because the numbers of
//!   recently used keys are kept in memory (`heads`).
//! * Each **version** of a key is one table key, newest first (`keys`, `record`). Nothing is overwritten, so a reader at
//!   a revision needs no lock and no snapshot: it looks for the newest version at or before its revision (`view`).
//! * [`Reader`] reads from any thread, [`Flusher`] makes effects durable from any thread.
//!
//! A fault in a request ([`KvError`]) is part of the reply and the same on every node. A fault of the tables or a command
//! from a newer build stops the node ([`ApplyError`]), because going on would make its state differ from the others'.
//!
//! The configurations that govern the log are part of the state (`governance`), so a node that takes over a peer's state takes
//! over what it is to be governed by.
//!
//! Compaction is in two parts. A command forgets the history below a revision, on every node at the same slot. What is
//! left over by it ([`Leftovers`]) is taken out of the tables by each node when it likes ([`Sweeper`]); no answer, copy or
//! hash depends on whether that has happened.
//!
//! Which commands are done is part of the state as well (`sessions`): one that is chosen twice takes effect once (X1).
//!
//! Not here yet: leases (a put that names one fails), watches. Nothing here knows of gRPC, ballots or clocks.

mod apply;
mod command;
pub(crate) mod digest;
mod error;
pub(crate) mod governance;
mod hash;
mod heads;
#[cfg(feature = "rocks")]
mod inspect;
pub(crate) mod keys;
mod leftovers;
mod pending;
mod progress;
mod range;
mod reader;
mod record;
mod reply;
mod sessions;
mod span;
mod sweeper;
mod validate;
mod view;
mod write;

pub use apply::{ApplyError, HEAD_CACHE_BYTES, Machine};
pub use command::{
    Command, Compact, Compare, CompareResult, CompareTarget, DeleteRange, FORMAT, MAX_DEPTH, Op, Put, Range, SortOrder,
    SortTarget, Txn, Undecodable,
};
pub use error::KvError;
pub use governance::is_governance;
pub use hash::Hash;
#[cfg(feature = "rocks")]
pub use inspect::{StateFindings, Stretch};
pub use leftovers::{KeyCount, Leftovers};
pub use progress::Progress;
pub use reader::{Flusher, ReadError, Reader};
pub use reply::{
    Applied, DeleteRangeReply, KeyValue, OpReply, OpResult, PutReply, RangeReply, Reply, Revision, TxnReply,
};
pub use sessions::is_session;
pub use sweeper::{Stride, Sweeper, Swept};
pub use validate::{Limits, validate, validate_range, validate_txn};
