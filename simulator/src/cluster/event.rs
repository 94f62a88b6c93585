//! What can happen next.

use bytes::Bytes;
use paxos::{Address, RequestId, Slot, SnapshotId};

use crate::adversary::Strike;
use crate::clock::Moment;
use crate::seat::Seat;
use crate::workload::OpId;

/// Something that happens to one process, or goes to whichever process the node has.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A message arrives.
    Deliver { from: Seat, connection: u32, frame: Bytes },
    /// A client's request arrives.
    Request { client: usize, op: OpId },
    /// The running sync is done.
    Synced,
    /// The applier has worked off what waited.
    Apply,
    /// The state machine makes itself durable.
    Flush,
    /// The journal has read what was asked for.
    Load {
        peer: Address,
        from: Slot,
        to: Slot,
        max_bytes: usize,
    },
    /// Pieces of a snapshot are read for a peer.
    ReadSnapshot {
        peer: Address,
        snapshot: Option<SnapshotId>,
        from: u64,
        count: u64,
    },
    /// The next piece of a peer's snapshot is staged.
    Stage,
    /// The process learns whether its disk has room.
    Room { enough: bool },
    /// Only for a mutant: a read is served that was allowed a while ago.
    Serve { request: RequestId, slot: Slot },
    /// The process asked to be woken.
    Wake { at: Moment },
    /// The transport has measured its round trips.
    Measure,
}

/// Something that begins or ends on links.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Cut(Vec<(Seat, Seat)>),
    Heal(Vec<(Seat, Seat)>),
    Degrade(Vec<(Seat, Seat)>),
    Improve(Vec<(Seat, Seat)>),
    Clog((Seat, Seat), Moment),
}

/// An entry of the schedule.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Something happens at a node. With a process number, only if that process still lives.
    At {
        seat: Seat,
        boot: Option<u64>,
        what: Happening,
    },
    /// A client thinks of something to do.
    Think { client: usize },
    /// A client's patience ends; early, if it abandons what it asked.
    GiveUp { client: usize, op: OpId, abandons: bool },
    /// A fault begins.
    Strike(Strike),
    /// A process starts again.
    Restart { seat: Seat },
    /// A paused process goes on.
    Resume { seat: Seat },
    /// Links get worse or better.
    Weather(Change),
    /// A slow disk recovers.
    Quicken { seat: Seat },
    /// A full disk has room again.
    MakeRoom { seat: Seat },
    /// A node that is needed no more is switched off.
    SwitchOff { seat: Seat },
}
