//! A whole state on its way to another node, or into a file (C3).
//!
//! A snapshot is the state of one applied slot: every row of the tables that is not [local](crate::tables::LOCAL) and
//! that compaction keeps, in key order, cut into pieces that are sent, checked and asked for again one by one. It is the same whatever the tables are kept
//! in, so the simulator runs this code and not a likeness of it, and equal slots give equal snapshots on all nodes.
//!
//! ```text
//! tables ─ freeze ─▶ Source ─ piece 0, 1, … last ─▶ Verifier ─ rows ─▶ Sink: a new state, beside the old one
//! ```
//!
//! | room | what it knows |
//! |---|---|
//! | [`Source`] | reads a frozen state piece by piece, any piece as often as it is wanted |
//! | `piece` | the bytes of a piece, with a checksum |
//! | [`Header`], [`Summary`] | what a snapshot says of itself at its beginning and at its end |
//! | [`Verifier`] | takes the pieces in order and believes nothing: version, checksum, number, order, and the sums at the end |
//! | [`Staging`] | verifies pieces and builds the new state from them, in memory or as a RocksDB folder (`rocks`) |
//! | [`installed()`] | the mark of a state that came from a peer |
//!
//! Not here: who asks whom for which piece (the core does), files, threads.

mod error;
mod header;
pub(crate) mod installed;
mod piece;
#[cfg(feature = "rocks")]
pub(crate) mod rocks;
mod source;
mod staging;
mod verifier;

pub use error::SnapshotError;
pub use header::{Header, Origin, Summary};
pub use installed::installed;
pub use piece::{FORMAT, Piece};
#[cfg(feature = "rocks")]
pub use rocks::{RocksSink, RocksSinkOptions, discard_staged};
pub use source::{PIECE_BYTES, Source};
pub use staging::{MemorySink, Sink, Staging};
pub use verifier::{TakeRow, Taken, Verifier};
