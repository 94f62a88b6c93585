//! What a replica tells of itself, for operators, metrics and tests.

use alloc::vec::Vec;
use core::time::Duration;

use quorum::{Configuration, Epoch, NodeId};

use crate::ballot::{Ballot, Slot};
use crate::configurations::Configurations;
use crate::election::Role;
use crate::message::{Address, SnapshotId};
use crate::replica::Replica;

/// What a node is doing about leadership.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It follows, or waits for a leader.
    Follower,
    /// It asks whether others miss the leader too.
    Canvassing,
    /// It is in phase 1.
    Preparing,
    /// It leads.
    Leading,
}

/// A moment of a replica's life.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it does about leadership.
    pub standing: Standing,
    /// The ballot it leads under or follows.
    pub leader: Option<Ballot>,
    /// Whether the leader hears a phase-2 quorum, as far as this node knows (E3).
    pub healthy: bool,
    /// What its acceptor has promised, durable or about to be.
    pub promised: Ballot,
    /// Every slot up to here is known here to be chosen.
    pub chosen: Slot,
    /// Some peer says that every slot up to here is chosen.
    pub known: Slot,
    /// Every slot up to here is applied.
    pub applied: Slot,
    /// The state machine holds the effects up to here durably.
    pub flushed: Slot,
    /// Every slot up to here is gone from the journal.
    pub trimmed: Slot,
    /// The highest slot that holds anything here.
    pub last: Slot,
    /// Commands that wait to be proposed or forwarded.
    pub queued: usize,
    /// Bytes of log values in memory.
    pub log_bytes: usize,
    /// Bytes of the values that the journal holds of slots that were given to the state machine; about.
    pub journal_bytes: u64,
    /// The snapshot that is on its way here, and how many of its pieces are staged (C3).
    pub snapshot: Option<(SnapshotId, u64)>,
    /// At a leader: what is left of its lease if nobody renews it; `None` without one (D3).
    pub lease: Option<Duration>,
    /// How old, at most, the applied state is: it has everything that was chosen so long ago. `None`: this process cannot tell
    /// yet (D6).
    pub stale: Option<Duration>,
    /// At a node that hands over: to whom (E4).
    pub handing_over: Option<NodeId>,
    /// The newest configuration and the one before it, if that is not retired, each with the first slot that it governs (R6).
    pub configurations: Configurations,
    /// At a leader: the newest configuration in whose slots it may propose (R3).
    pub opened: Option<Epoch>,
    /// At a leader: how far each other member of these configurations has come.
    pub members: Vec<MemberProgress>,
    /// R6: this node was told that the configuration of that epoch does without it.
    pub may_stop: Option<Epoch>,
}

/// What a leader knows of another member.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct MemberProgress {
    /// The member.
    pub address: Address,
    /// How long ago it was heard, or has been led.
    pub heard: Duration,
    /// Every slot up to here it knows to be chosen.
    pub chosen: Slot,
    /// Every slot up to here its disk holds as chosen (R6).
    pub kept: Slot,
    /// Every slot up to here its state machine holds durably.
    pub flushed: Slot,
}

impl Replica {
    /// How things are. Cheap, but not free: meant for some times a second.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            standing: match &self.role {
                Role::Follower => Standing::Follower,
                Role::Canvassing(_) => Standing::Canvassing,
                Role::Preparing(_) => Standing::Preparing,
                Role::Leading(_) => Standing::Leading,
            },
            leader: self.election.leader,
            healthy: self.leader_is_healthy(),
            promised: self.promised,
            chosen: self.log.chosen,
            known: self.log.known,
            applied: self.log.applied,
            flushed: self.log.flushed,
            trimmed: self.log.trimmed,
            last: self.log.last(),
            queued: self.proposals.queue.len(),
            log_bytes: self.log.bytes(),
            journal_bytes: self.trimming.bytes(),
            snapshot: self.snapshots.progress(),
            lease: self.lease_left(),
            stale: self.staleness(self.now),
            handing_over: self.handing_over_to(),
            configurations: self.configurations.clone(),
            opened: match &self.role {
                Role::Leading(leading) => Some(leading.opened),
                _ => None,
            },
            members: self.progress_of_members(),
            may_stop: self.reconfiguration.may_stop(),
        }
    }

    /// The newest configuration that this node knows.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        self.configurations.newest()
    }
}
