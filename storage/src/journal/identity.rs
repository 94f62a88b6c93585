//! Whose journal it is.

use paxos::ClusterId;
use quorum::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};

/// The layout of the journal that this build writes, and the newest it reads. It reads all before it, and changes an older
/// journal to this one when it opens it.
///
/// 1: entries, marks, identity. 2: a synced mark beside them. 3: changes of configuration, and what came of them.
pub const FORMAT: u32 = 3;

/// A node of a cluster, in one life of its disk (A6, A8).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster's name, for people.
    pub cluster: String,
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The node.
    pub node: NodeId,
    /// The life of its disk.
    pub incarnation: Incarnation,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    cluster: String,
    cluster_id: u64,
    node: u64,
    incarnation: u64,
}

/// What the bytes of an identity turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Identity(Identity, Format),
    Newer(u32),
    Rubbish,
}

/// In which format a journal is.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Format(pub(super) u32);

impl Format {
    /// The first with a synced mark.
    pub(super) const SYNCED: Format = Format(2);
}

impl Identity {
    /// The identity as bytes, for the journal and for what lies beside it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = Stored {
            cluster: self.cluster.clone(),
            cluster_id: self.cluster_id.0,
            node: self.node.0,
            incarnation: self.incarnation.0,
        };
        postcard::to_extend(&stored, FORMAT.to_le_bytes().to_vec()).expect("writing to a vector does not fail")
    }

    pub(super) fn decode(bytes: &[u8]) -> Found {
        let Some((format, rest)) = bytes.split_first_chunk() else {
            return Found::Rubbish;
        };
        match u32::from_le_bytes(*format) {
            0 => Found::Rubbish,
            format @ 1..=FORMAT => match postcard::from_bytes::<Stored>(rest) {
                Ok(stored) => {
                    let identity = Identity {
                        cluster: stored.cluster,
                        cluster_id: ClusterId(stored.cluster_id),
                        node: NodeId(stored.node),
                        incarnation: Incarnation(stored.incarnation),
                    };
                    Found::Identity(identity, Format(format))
                }
                Err(_) => Found::Rubbish,
            },
            newer => Found::Newer(newer),
        }
    }

    /// Reads what [`Identity::to_bytes`] of this build or an older one wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Identity> {
        match Identity::decode(bytes) {
            Found::Identity(identity, _) => Some(identity),
            Found::Newer(_) | Found::Rubbish => None,
        }
    }

    /// Every field in which this identity, found on a disk, is not the expected one; `None` if there is none.
    #[must_use]
    pub fn differences(&self, expected: &Identity) -> Option<String> {
        let fields = [
            ("cluster", self.cluster.clone(), expected.cluster.clone()),
            (
                "cluster id",
                format!("{:016x}", self.cluster_id.0),
                format!("{:016x}", expected.cluster_id.0),
            ),
            ("node", self.node.to_string(), expected.node.to_string()),
            (
                "incarnation",
                self.incarnation.to_string(),
                expected.incarnation.to_string(),
            ),
        ];
        let differences: Vec<String> = fields
            .into_iter()
            .filter(|(_, found, expected)| found != expected)
            .map(|(field, found, expected)| format!("its {field} is {found}, not {expected}"))
            .collect();
        if differences.is_empty() {
            None
        } else {
            Some(differences.join("; "))
        }
    }
}
