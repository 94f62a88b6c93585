//! Backups: the state of one moment in one file.
//!
//! A file is a snapshot's pieces (`storage::snapshot`, which checks each of them and all together) one after the other,
//! each with its length before it, then zeros up to a multiple of 512 bytes, then the SHA-256 of everything before. The end
//! is as etcd's own tool wants it, so `etcdctl snapshot save` works as well and notices a stream that was cut off.
//!
//! ```text
//! member: freeze ─▶ Source ─▶ Encoder ─▶ gRPC stream ─▶ Decoder (checks all) ─▶ FILE.part ─ sync, rename ─▶ FILE
//! FILE ─▶ Decoder ─▶ Staging ─▶ DIR/making ─ rename the parts ─▶ DIR of a member of a new cluster
//! ```

mod decoder;
mod encoder;
mod file;
mod restore;
mod save;
mod shelf;

pub use decoder::{Decoder, Fault};
pub use encoder::Encoder;
pub use file::{Facts, read};
pub use restore::restore;
pub use save::save;
pub use shelf::Shelf;

/// How a file begins; the last character is the version of the format.
const MAGIC: &[u8; 16] = b"synod snapshot 1";
/// Everything but the checksum is a multiple of so many bytes.
const BLOCK: u64 = 512;
/// Length of the checksum at the end.
const CHECKSUM: usize = 32;
/// No piece is longer: it holds about a mebibyte of rows, or one row that is longer.
const LONGEST: usize = 1 << 30;
