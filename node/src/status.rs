//! What a node knows about itself, as `/v1/status` and `synod status` show it.
//!
//! The driver publishes it; everybody else reads. The names of the JSON fields are an interface: a field never changes
//! its meaning, new meanings get new names.

use std::time::Instant;

use quorum::Proposal;
use serde::{Deserialize, Serialize};

use crate::scrub::ScrubStatus;
use crate::snapshots::CatchingUp;

/// A node's view of itself and its cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's number, as in every etcd response header.
    pub cluster_id: u64,
    /// This node's number.
    pub node: u64,
    /// This node's name.
    pub name: String,
    /// This node's region.
    pub region: String,
    /// This node's zone.
    pub zone: String,
    /// The version of the program.
    pub version: String,
    /// What the node does in the present ballot.
    pub role: Role,
    /// Who leads as far as this node knows.
    pub leader: Option<u64>,
    /// The ballot this node has promised, `round.leader`.
    pub ballot: String,
    /// The round of that ballot.
    pub ballot_round: u64,
    /// Whether the leader hears a phase 2 quorum, as it last said itself. False without a leader.
    pub healthy: bool,
    /// Every slot up to here is chosen, and this node has it.
    pub chosen: u64,
    /// The highest slot that this node has been told is chosen; above `chosen` while it catches up.
    pub known_chosen: u64,
    /// Applied to the state machine up to here.
    pub applied: u64,
    /// Durable in the state machine up to here.
    pub flushed: u64,
    /// Gone from the journal up to here.
    pub trimmed: u64,
    /// The store's revision.
    pub revision: i64,
    /// The oldest revision that can be read; 0 if the store was never compacted.
    #[serde(default)]
    pub compacted: i64,
    /// What compaction at this revision left over is gone from this node's disk; 0 if the store was never compacted.
    #[serde(default)]
    pub swept: i64,
    /// A hash of everything that was applied up to `digest_slot`: equal on all nodes for equal slots.
    #[serde(default)]
    pub digest: String,
    /// The applied slot that `digest` belongs to.
    #[serde(default)]
    pub digest_slot: u64,
    /// Bytes of the store on disk.
    pub store_bytes: u64,
    /// Those of them that hold what can still be read, about.
    #[serde(default)]
    pub store_live_bytes: u64,
    /// The number of the configuration in force.
    pub epoch: u64,
    /// The quorum system in force, in words.
    pub quorum_system: String,
    /// The configurations that are not retired, oldest first: one, or two while a change is under way.
    #[serde(default)]
    pub configurations: Vec<ConfigurationStatus>,
    /// The configuration that the log began with.
    #[serde(default)]
    pub genesis: Option<Proposal>,
    /// This node is no member any more, and was told that the configuration of this number does without it: it may be switched
    /// off.
    #[serde(default)]
    pub may_stop: Option<u64>,
    /// Whether the node has read its disk and takes part.
    pub recovered: bool,
    /// Seconds since the process started.
    pub uptime_seconds: u64,
    /// The members of the configuration in force, this node included.
    pub members: Vec<MemberStatus>,
    /// The copy of a peer's state that this node is fetching, because it is behind every peer's journal or lost its state.
    #[serde(default)]
    pub catching_up: Option<CatchingUp>,
    /// At a leader: for how many milliseconds it may serve reads without asking, if nobody renews its lease.
    #[serde(default)]
    pub lease_ms: Option<u64>,
    /// This node's state has everything that was chosen so many milliseconds ago; nothing if it cannot tell.
    #[serde(default)]
    pub stale_ms: Option<u64>,
    /// The node to which this one hands leadership over.
    #[serde(default)]
    pub handing_over: Option<u64>,
    /// The node is about to be stopped and sends its clients elsewhere.
    #[serde(default)]
    pub draining: bool,
    /// What the scrub has read and found.
    #[serde(default)]
    pub scrub: ScrubStatus,
    /// How full the queues are.
    pub queues: Queues,
    /// How much room the disk has. A node that does not say is one of a version that did not know.
    #[serde(default)]
    pub disk: Space,
    /// When the driver published this; nothing before its first turn.
    #[serde(skip)]
    pub published: Option<Instant>,
}

/// What a node does in the present ballot.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Leads.
    Leader,
    /// Tries to lead.
    Candidate,
    /// Follows a leader.
    Follower,
    /// Reads its disk, or knows no leader and does not stand.
    #[default]
    Starting,
}

impl Role {
    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Leader => "leader",
            Role::Candidate => "candidate",
            Role::Follower => "follower",
            Role::Starting => "starting",
        }
    }
}

/// A member as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its number.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its zone.
    pub zone: String,
    /// Where its peers reach it, `host:port`.
    pub peer_address: String,
    /// Where clients reach it, as a URL; empty if not configured.
    pub client_url: String,
    /// Which life of its disk.
    #[serde(default)]
    pub incarnation: u64,
    /// Whether it votes.
    pub voter: bool,
    /// Whether this node has a connection to it; true for the node itself.
    pub connected: bool,
    /// Smoothed round trip in milliseconds, if measured.
    pub round_trip_ms: Option<f64>,
    /// Told by a leader only: every slot up to here that member knows to be chosen.
    #[serde(default)]
    pub chosen: Option<u64>,
    /// Told by a leader only: every slot up to here that member's disk holds as chosen.
    #[serde(default)]
    pub kept: Option<u64>,
    /// The wire version in which this node talks to it, if there is a connection: during an upgrade, which of the members
    /// still speak the old one only.
    #[serde(default)]
    pub wire_version: Option<u16>,
}

/// A configuration and the slots that it governs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    /// The first slot that it governs; not in force yet if `chosen` is more than one slot below.
    pub from_slot: u64,
    /// Members and quorum system.
    pub configuration: Proposal,
}

/// How full the node's queues are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Queues {
    /// Client requests that wait for their answer.
    pub waiting_requests: u64,
    /// Commands that wait in the core to be proposed or forwarded.
    pub queued_commands: u64,
    /// Chosen entries that wait for the applier.
    pub unapplied_entries: u64,
    /// Bytes of writes that wait for the journal.
    pub unwritten_bytes: u64,
}

/// The room on the disk of a node's data folder.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Bytes that the node may still write.
    pub free_bytes: u64,
    /// Bytes that the disk has in all.
    pub total_bytes: u64,
    /// Bytes that must be free for the node to take writes.
    pub reserve_bytes: u64,
    /// Whether that much is free; false is the alarm `NOSPACE`.
    pub enough: bool,
}

impl Default for Space {
    /// Nothing is known, and nothing is wrong.
    fn default() -> Space {
        Space {
            free_bytes: 0,
            total_bytes: 0,
            reserve_bytes: 0,
            enough: true,
        }
    }
}

impl NodeStatus {
    /// The newest configuration, in force or about to be.
    #[must_use]
    pub fn newest(&self) -> Option<&ConfigurationStatus> {
        self.configurations.last()
    }

    /// Whether a change of configuration is under way: chosen, and the one before not retired yet.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.configurations.len() > 1
    }

    /// This node among the members.
    #[must_use]
    pub fn member(&self, node: u64) -> Option<&MemberStatus> {
        self.members.iter().find(|member| member.node == node)
    }

    /// Chosen slots that this node has yet to apply, as far as it knows.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.known_chosen.max(self.chosen).saturating_sub(self.applied)
    }

    /// What keeps the cluster, or this node, from serving writes, in etcd's style; nothing if all is well.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        let mut errors = match (self.leader, self.healthy) {
            (None, _) => vec!["etcdserver: no leader".to_owned()],
            (Some(_), false) => vec!["etcdserver: no quorum".to_owned()],
            (Some(_), true) => Vec::new(),
        };
        if !self.disk.enough {
            // As etcd prints an alarm, with the space at its end.
            errors.push(format!("memberID:{} alarm:NOSPACE ", self.node));
        }
        errors
    }
}
