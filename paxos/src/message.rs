//! What nodes say to each other.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use quorum::{Epoch, Incarnation, Member, NodeId};

use crate::ballot::{Ballot, Slot};
use crate::change::{Change, Waivers};
use crate::effect::Refusal;
use crate::lease::{Echo, Pulse, Release};
use crate::value::{Command, Value};

/// Names one cluster; messages of another are ignored and counted (A8).
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct ClusterId(pub u64);

/// A node in one life of its disk. What is addressed to another life is not answered (A8).
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Address {
    /// The node.
    pub node: NodeId,
    /// The life of its disk.
    pub incarnation: Incarnation,
}

impl Address {
    /// Where a member can be reached.
    pub(crate) fn of(member: &Member) -> Address {
        Address {
            node: member.node,
            incarnation: member.incarnation,
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.node)?;
        if self.incarnation.0 != 1 {
            write!(f, "/{}", self.incarnation.0)
        } else {
            Ok(())
        }
    }
}

/// A message with everything that says for whom it is (A8).
#[derive(Clone, PartialEq, Debug)]
pub struct Envelope {
    /// The cluster in which it was said.
    pub cluster: ClusterId,
    /// Who says it.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// The newest configuration that the sender knows.
    pub epoch: Epoch,
    /// What is said.
    pub message: Message,
}

/// A vote that an acceptor reports in a promise.
#[derive(Clone, PartialEq, Debug)]
pub struct Vote {
    /// Where.
    pub slot: Slot,
    /// Under which ballot.
    pub ballot: Ballot,
    /// For what.
    pub value: Value,
}

/// Names a snapshot: a copy of the state machine as it was at one slot, which travels in numbered pieces (C3).
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct SnapshotId {
    /// The applied slot that it shows: the effects of every slot up to here are in it, and of none above.
    pub slot: Slot,
    /// A number that the serving process gave it, drawn so that no other snapshot of that slot has it.
    pub serial: u64,
}

/// How urgent a message is: kinds of different urgency travel on streams of their own and never wait for each other.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub enum Urgency {
    /// Small and waited for: heartbeats, elections, read confirmations.
    Control,
    /// The log as it grows.
    Replication,
    /// Catch-up, which may be large and can wait.
    Bulk,
}

/// What one node says to another.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// E1: "is your leader silent too, and is my log not hopelessly behind yours?" Asked before a ballot is raised.
    Canvass {
        /// Distinguishes one canvass of a node from its next.
        attempt: u64,
        /// The chosen prefix of the node that asks.
        chosen: Slot,
    },
    /// Answer to [`Message::Canvass`].
    CanvassReply {
        /// The attempt that is answered.
        attempt: u64,
        /// Whether the sender would let the asker try.
        granted: bool,
        /// The highest ballot that the sender has promised.
        promised: Ballot,
        /// The chosen prefix of the sender.
        chosen: Slot,
    },
    /// Phase 1a, for all slots from `from` on (L2).
    Prepare {
        /// The candidate's ballot.
        ballot: Ballot,
        /// First slot asked about; everything above is asked about as well.
        from: Slot,
        /// E4: the leases that the leader gave back in favour of this candidate.
        release: Option<Release>,
    },
    /// Phase 1b: one page of a promise (L9).
    Promise {
        /// The ballot that is promised.
        ballot: Ballot,
        /// First slot that this page speaks of.
        from: Slot,
        /// Last slot that this page speaks of; `None`: it speaks of all that follow, and is the last page.
        to: Option<Slot>,
        /// The votes in that range, in slot order. Slots ≤ `chosen` are left out: they are decided (L7).
        votes: Vec<Vote>,
        /// Every slot up to here is chosen.
        chosen: Slot,
        /// Every slot up to here is chosen, and the sender no longer has it (L10).
        trimmed: Slot,
    },
    /// Phase 2a.
    Accept {
        /// The leader's ballot.
        ballot: Ballot,
        /// The slot.
        slot: Slot,
        /// What is proposed there.
        value: Value,
        /// C1: every slot up to here is chosen.
        chosen: Slot,
    },
    /// Phase 2b.
    Accepted {
        /// The ballot of the vote.
        ballot: Ballot,
        /// The slot of the vote.
        slot: Slot,
    },
    /// A1, A2: the sender has promised a higher ballot than the one it was asked for.
    Reject {
        /// The ballot that is refused.
        ballot: Ballot,
        /// What the sender has promised.
        promised: Ballot,
    },
    /// L10: the slot of an `Accept` was decided long ago.
    Decided {
        /// The ballot of the `Accept` that is answered.
        ballot: Ballot,
        /// Every slot up to here is chosen.
        chosen: Slot,
    },
    /// C1: every slot up to `chosen` is chosen.
    Commit {
        /// The leader's ballot.
        ballot: Ballot,
        /// The chosen prefix.
        chosen: Slot,
    },
    /// The leader is alive; also opens a round of read confirmation (D1).
    Heartbeat {
        /// The leader's ballot.
        ballot: Ballot,
        /// Counts heartbeats of that ballot.
        round: u64,
        /// C1: every slot up to here is chosen.
        chosen: Slot,
        /// D2: every slot that phase 1 of this ballot showed might be chosen is at or below this one.
        horizon: Slot,
        /// Every member has this prefix durably applied: nobody will ask for it again.
        everywhere: Slot,
        /// Whether the leader still hears a phase-2 quorum (E3).
        healthy: bool,
        /// R6: every configuration before this one is retired.
        oldest: Epoch,
        /// What it says about time: leases, and how old states are (D3, D6).
        pulse: Pulse,
    },
    /// D1: the sender has promised nothing above `ballot`.
    HeartbeatAck {
        /// The leader's ballot.
        ballot: Ballot,
        /// The round that is answered.
        round: u64,
        /// The chosen prefix that the sender knows.
        chosen: Slot,
        /// The prefix whose effects are durable at the sender.
        flushed: Slot,
        /// R6: the sender's disk holds every slot up to here as chosen, and knows so without asking anybody.
        kept: Slot,
        /// What it says about time, and whether it could lead (D3, D6, E4).
        echo: Echo,
    },
    /// E4: the leader asks the receiver to take its place at once. It proposes nothing more, and all that it proposed is chosen.
    HandOver {
        /// The leases that it gives back.
        release: Release,
        /// C1: every slot up to here is chosen.
        chosen: Slot,
    },
    /// Commands of a node that does not lead, for the leader of `ballot` and no other.
    Forward {
        /// The ballot under which the sender believes the receiver to lead.
        ballot: Ballot,
        /// Grows with every `Forward` of the sender's process; a leader takes none twice.
        number: u64,
        /// The commands.
        commands: Vec<Command>,
    },
    /// The commands with these sequence numbers were certainly not proposed.
    ForwardRefused {
        /// The ballot to which they were forwarded.
        ballot: Ballot,
        /// The process whose commands they are.
        boot: u64,
        /// Why.
        reason: Refusal,
        /// Sequence numbers of the refused commands.
        sequences: Vec<u64>,
    },
    /// An operator's change, for the leader of `ballot` and no other. Numbered together with [`Message::Forward`].
    ForwardChange {
        /// The ballot under which the sender believes the receiver to lead.
        ballot: Ballot,
        /// Grows with everything that the sender's process forwards; a leader takes nothing twice.
        number: u64,
        /// The change.
        change: Change,
        /// What the operator accepts (R5, R7).
        waivers: Waivers,
    },
    /// R6: the configuration of that epoch has taken over, and the receiver is no member of it: it is not needed any more.
    Retired {
        /// The epoch.
        epoch: Epoch,
    },
    /// D6: "which prefix must I have applied to serve reads that arrived by now?"
    ReadIndex {
        /// The process that asks.
        boot: u64,
        /// Names the question; later questions have larger numbers.
        batch: u64,
    },
    /// Answer to [`Message::ReadIndex`].
    ReadIndexReply {
        /// The process that asked.
        boot: u64,
        /// The question.
        batch: u64,
        /// The prefix, or why it is not to be had.
        result: Result<Slot, Refusal>,
    },
    /// C1: "send me the chosen values from here on."
    Fetch {
        /// First slot wanted.
        from: Slot,
        /// Last slot wanted.
        to: Slot,
    },
    /// Chosen values of consecutive slots.
    Chosen {
        /// Slot of the first value.
        from: Slot,
        /// The values.
        values: Vec<Value>,
        /// The chosen prefix of the sender.
        chosen: Slot,
    },
    /// The sender no longer has what was fetched (C3).
    Trimmed {
        /// Every slot up to here is gone.
        trimmed: Slot,
    },
    /// C3: "send me these pieces of a snapshot."
    AskSnapshot {
        /// A snapshot of an earlier slot is of no use to the asker.
        least: Slot,
        /// Which snapshot; `None`: a new one.
        snapshot: Option<SnapshotId>,
        /// The first piece wanted; pieces are numbered from 0.
        from: u64,
        /// How many pieces are wanted, if there are so many.
        count: u64,
    },
    /// One piece of a snapshot.
    SnapshotPiece {
        /// Which snapshot.
        snapshot: SnapshotId,
        /// Which piece, from 0.
        number: u64,
        /// Whether it is the last.
        last: bool,
        /// What only the state machine can read; it carries checksums of its own.
        payload: Bytes,
    },
    /// The sender no longer has that snapshot, or cannot make one: ask for a new one, or somebody else.
    SnapshotGone {
        /// Which snapshot; `None`: it was asked for a new one.
        snapshot: Option<SnapshotId>,
    },
}

impl Message {
    /// The ballot in whose name this is said, if only that ballot's leader may say it.
    pub(crate) fn reign(&self) -> Option<Ballot> {
        match self {
            Message::Prepare { ballot, .. }
            | Message::Accept { ballot, .. }
            | Message::Commit { ballot, .. }
            | Message::Heartbeat { ballot, .. } => Some(*ballot),
            Message::HandOver { release, .. } => Some(release.ballot),
            _ => None,
        }
    }

    /// Which stream carries it.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        match self {
            Message::Accept { .. }
            | Message::Accepted { .. }
            | Message::Commit { .. }
            | Message::Forward { .. }
            | Message::ForwardChange { .. } => Urgency::Replication,
            Message::Fetch { .. }
            | Message::Chosen { .. }
            | Message::Trimmed { .. }
            | Message::AskSnapshot { .. }
            | Message::SnapshotPiece { .. }
            | Message::SnapshotGone { .. } => Urgency::Bulk,
            _ => Urgency::Control,
        }
    }
}

/// Half a round trip may be all that is known of a peer: what the core assumes before the first measurement.
pub(crate) const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(50);
