//! What a node remembers.
//!
//! A node has two memories, in two folders of its data folder, because they are used in opposite ways.
//!
//! * The [`journal`] (`DIR/journal`) is what the protocol rests on: promises, votes, chosen values. It is written ahead of
//!   every answer, synced, read only at start and by peers that are behind, and trimmed at its old end. Losing a byte of
//!   it silently could lose a client's write, so it is checked without mercy: a journal that cannot be shown to be whole
//!   is not opened (A6), and the first failed write is the last (A5).
//! * The **state** (`DIR/state`) is what clients see: the [`machine`], an MVCC key-value store with etcd's meaning, on
//!   ordered [`tables`]. It is written behind the log, without a log of its own, and flushed now and then. Whatever a
//!   crash takes from it is applied again, because effects and applied slot are one write (C2), and the journal is trimmed
//!   only below what was flushed.
//!
//! So every byte is synced once, on one path. [`Store`] opens the two together and checks that they fit.
//!
//! | room | in one line |
//! |---|---|
//! | [`journal`] | one thread, one batch, one sync; replies leave behind it (A3–A7) |
//! | [`machine`] | commands, revisions, transactions, reads of the past, compaction; one digest on all nodes |
//! | [`tables`] | ordered bytes: RocksDB, or a map for the simulator; one contract |
//! | [`snapshot`] | a whole state on its way to another node: pieces, each checked (C3) |
//! | [`Store`] | a data folder: whose it is, whether it is whole |
//! | [`Inspection`] | a look at a data folder that no node has open, and a verdict |
//! | [`Survivor`] | a disk that is left of a cluster that lost too many: evidence |
//! | [`step`] | the places between two effects on the disk, for tests that stop the process there |
//!
//! Journal, [`Store`] and RocksDB are behind the feature `rocks`, which is on unless it is turned off: the simulator runs the
//! real state machine without compiling RocksDB.
//!
//! Not here: what to write and when (the core says so), sockets, clocks, async. Not here yet: keys with a time to live.

#[cfg(feature = "rocks")]
mod background;
#[cfg(feature = "rocks")]
mod inspect;
#[cfg(feature = "rocks")]
pub mod journal;
pub mod machine;
#[cfg(feature = "rocks")]
mod manifest;
#[cfg(feature = "rocks")]
mod records;
pub mod snapshot;
pub mod step;
#[cfg(feature = "rocks")]
mod store;
#[cfg(feature = "rocks")]
mod survivor;
pub mod tables;

#[cfg(feature = "rocks")]
pub use inspect::{InspectError, Inspection, Leftover, Looked, Verdict};
#[cfg(feature = "rocks")]
pub use store::{Found, Store, StoreError, StoreSettings};
#[cfg(feature = "rocks")]
pub use survivor::{Survivor, SurvivorError};
