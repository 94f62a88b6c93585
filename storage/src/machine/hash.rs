//! A hash over what can be read, for comparing nodes.
//!
//! It covers every version that compaction keeps up to some revision, and nothing else: two nodes whose stores were
//! compacted at the same revision have the same hash, whatever each has swept, flushed or not yet applied. The running
//! [`Progress::digest`](super::Progress) covers what was *done*; this covers what is *there*, and so finds tables that
//! have changed since.

use super::Leftovers;
use super::digest::Digest;
use super::error::KvError;
use super::keys;
use super::progress::Progress;
use super::reader::ReadError;
use super::reply::Revision;
use crate::tables::{Frozen, Step, Tables};

/// A hash over the versions that the store keeps.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Hash {
    /// The hash.
    pub hash: u32,
    /// The last revision that it covers.
    pub revision: Revision,
    /// The revision at which the store was compacted; -1: never. Hashes compare only if this is equal.
    pub compacted: i64,
    /// The store's revision when it was computed.
    pub now: Revision,
}

/// Hashes everything up to `revision`; 0 or less: up to now.
pub(super) fn hash<T: Tables>(tables: &T, revision: i64) -> Result<Hash, ReadError> {
    // Whoever compacts meanwhile may sweep as well.
    let frozen = tables.freeze();
    let progress = Progress::frozen(&frozen)?;
    let (now, compacted) = (progress.revision, progress.compacted);
    let upto = match revision {
        ..=0 => now.0,
        future if future > now.0 => return Err(KvError::FutureRevision.into()),
        past if past < compacted => return Err(KvError::Compacted.into()),
        past => past,
    };
    let mut digest = Digest::START;
    let mut leftovers = Leftovers::new(compacted);
    frozen.scan(keys::BEGIN, Some(keys::END), &mut |table_key, value| {
        let dropped = leftovers.drops(table_key, value);
        if !dropped && keys::split(table_key).is_some_and(|(_, revision)| revision <= upto) {
            digest.bytes(table_key);
            digest.bytes(value);
        }
        Step::Next
    })?;
    Ok(Hash {
        hash: (digest.0 ^ digest.0 >> 32) as u32,
        revision: Revision(upto),
        compacted,
        now,
    })
}
