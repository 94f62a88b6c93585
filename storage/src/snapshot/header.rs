//! What a snapshot says of itself.

use paxos::{ClusterId, Slot};
use quorum::Epoch;
use serde::{Deserialize, Serialize};

use crate::machine::digest::Digest;
use crate::machine::{Progress, Revision};

/// Where a snapshot comes from, as far as the tables do not say it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The cluster's name, for people.
    pub cluster: String,
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The configuration in force at the snapshot's slot.
    pub epoch: Epoch,
}

/// The beginning of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Whose state it is.
    pub origin: Origin,
    /// The state is that of this applied slot, with its revision and digest.
    pub progress: Progress,
    /// How many rows there are, about: the serving node's guess, to show progress with. The only thing in a snapshot that
    /// may differ between nodes.
    pub estimated_rows: u64,
}

/// The bytes of a header, behind the format of its piece.
#[derive(Serialize, Deserialize)]
struct StoredHeader {
    cluster: String,
    cluster_id: u64,
    epoch: u64,
    slot: u64,
    revision: i64,
    digest: u64,
    compacted: i64,
    estimated_rows: u64,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let stored = StoredHeader {
            cluster: self.origin.cluster.clone(),
            cluster_id: self.origin.cluster_id.0,
            epoch: self.origin.epoch.0,
            slot: self.progress.applied.0,
            revision: self.progress.revision.0,
            digest: self.progress.digest,
            compacted: self.progress.compacted,
            estimated_rows: self.estimated_rows,
        };
        postcard::to_allocvec(&stored).expect("writing to a vector does not fail")
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
        let (stored, rest) = postcard::take_from_bytes::<StoredHeader>(bytes).ok()?;
        rest.is_empty().then_some(Header {
            origin: Origin {
                cluster: stored.cluster,
                cluster_id: ClusterId(stored.cluster_id),
                epoch: Epoch(stored.epoch),
            },
            progress: Progress {
                applied: Slot(stored.slot),
                revision: Revision(stored.revision),
                digest: stored.digest,
                compacted: stored.compacted,
            },
            estimated_rows: stored.estimated_rows,
        })
    }
}

/// The sums over a snapshot up to some row; those over the whole are its trailer.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Sums {
    pub(super) rows: u64,
    /// Bytes of keys and values.
    pub(super) bytes: u64,
    /// Over the header, but for what may differ between nodes, and over all rows.
    pub(super) checksum: u64,
}

impl Sums {
    pub(super) fn start(header: &Header) -> Sums {
        let mut digest = Digest::START;
        let said = Header {
            estimated_rows: 0,
            ..header.clone()
        };
        digest.bytes(&said.encode());
        Sums {
            rows: 0,
            bytes: 0,
            checksum: digest.0,
        }
    }

    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut digest = Digest(self.checksum);
        digest.bytes(key);
        digest.bytes(value);
        self.checksum = digest.0;
        self.rows += 1;
        self.bytes += (key.len() + value.len()) as u64;
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("writing to a vector does not fail")
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Sums> {
        let (sums, rest) = postcard::take_from_bytes(bytes).ok()?;
        rest.is_empty().then_some(sums)
    }
}

/// A snapshot that was verified to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// What it said at its beginning.
    pub header: Header,
    /// Rows of the tables.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Equal for snapshots of equal content.
    pub checksum: u64,
}
