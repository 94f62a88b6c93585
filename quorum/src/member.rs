//! A member of a configuration, as an operator describes it.

use crate::{Incarnation, NodeId};
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a member does.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Promises, votes and may lead.
    #[default]
    Voter,
    /// Receives everything and is never counted in a quorum.
    Learner,
    /// Promises and votes, and never leads: its disk counts, its place or its machine is not one to lead from.
    Acceptor,
}

impl Role {
    /// Whether it counts in quorums.
    #[must_use]
    pub fn votes(self) -> bool {
        matches!(self, Role::Voter | Role::Acceptor)
    }

    /// Whether it may stand for election.
    #[must_use]
    pub fn leads(self) -> bool {
        self == Role::Voter
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Voter => "voter",
            Role::Learner => "learner",
            Role::Acceptor => "acceptor",
        })
    }
}

/// A member: one node in one life of its disk, and where it is.
///
/// Read from text, `incarnation` is 1, `zone` is the region, `client_url` is empty and `role` is voter unless given.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
#[serde(from = "MemberText")]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Which life of its disk.
    pub incarnation: Incarnation,
    /// A name for people: letters, digits, `-`, `_` and `.`, not only digits, unique in the configuration.
    pub name: String,
    /// The cloud region or data centre.
    pub region: String,
    /// The failure domain within the region. Zones of one name in two regions are two zones.
    pub zone: String,
    /// `host:port` of the QUIC endpoint for peers.
    pub address: String,
    /// The URL that clients are told to use; may be empty.
    pub client_url: String,
    /// What it does.
    pub role: Role,
}

/// A member as written: the same fields in the same order, some of them optional.
#[derive(Deserialize)]
#[serde(rename = "Member", deny_unknown_fields)]
struct MemberText {
    node: NodeId,
    #[serde(default = "first_incarnation")]
    incarnation: Incarnation,
    name: String,
    region: String,
    #[serde(default)]
    zone: String,
    address: String,
    #[serde(default)]
    client_url: String,
    #[serde(default)]
    role: Role,
}

fn first_incarnation() -> Incarnation {
    Incarnation(1)
}

impl From<MemberText> for Member {
    fn from(text: MemberText) -> Member {
        let MemberText {
            node,
            incarnation,
            name,
            region,
            zone,
            address,
            client_url,
            role,
        } = text;
        let zone = if zone.is_empty() { region.clone() } else { zone };
        Member {
            node,
            incarnation,
            name,
            region,
            zone,
            address,
            client_url,
            role,
        }
    }
}
