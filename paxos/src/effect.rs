//! What goes into a replica and what comes out of it. This is the core's whole surface besides [`Replica`](crate::Replica).

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use quorum::{Configuration, Epoch, NodeId};

use crate::ballot::{Ballot, Slot};
use crate::change::{Objection, Waivers};
use crate::configurations::Configurations;
use crate::hand_over::Stays;
use crate::lease::LeaseOptions;
use crate::message::{Address, ClusterId, Envelope, SnapshotId};
use crate::time::Time;
use crate::value::Value;

/// Names a request of this process; also the `sequence` of the [`CommandId`](crate::CommandId) it becomes.
///
/// Commands are counted from 1, in the order in which they are given to the core, so that the state machine can keep in few
/// bytes which of them are done (X1). Everything else is numbered [apart](RequestId::apart).
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct RequestId(pub u64);

impl RequestId {
    /// The `number`th request that is not a command.
    #[must_use]
    pub const fn apart(number: u64) -> RequestId {
        RequestId(number | 1 << 63)
    }
}

/// Names a write; writes are numbered in the order in which they must reach the disk (A4).
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Default)]
pub struct WriteId(pub u64);

/// Something that happened to the node.
///
/// The time that comes with it must have been read after it was taken from whatever queue it waited in, from a clock that runs
/// while the machine is suspended: leases rest on that (D5).
#[derive(Clone, Debug)]
pub enum Input {
    /// A message arrived.
    Receive(Envelope),
    /// A client wants a command done. If it is still unsent at `deadline`, it is refused.
    Propose {
        /// The request, larger than every earlier command of this process.
        id: RequestId,
        /// The command in the state machine's encoding.
        payload: Bytes,
        /// When waiting is pointless.
        deadline: Time,
    },
    /// An operator of this node wants another configuration. Whatever node leads is asked; the outcome is
    /// [`Outcome::Reconfigured`], or a refusal or doubt as for a command. Nothing is lost by asking twice (R2).
    Reconfigure {
        /// The request, numbered apart from commands.
        id: RequestId,
        /// The configuration, with the epoch after the one that it is to follow.
        configuration: Configuration,
        /// What the operator accepts (R5, R7).
        waivers: Waivers,
        /// When waiting is pointless.
        deadline: Time,
    },
    /// A client wants a linearizable read.
    Read {
        /// The request, numbered apart from commands.
        id: RequestId,
        /// When waiting is pointless.
        deadline: Time,
    },
    /// This write and all earlier ones are durable. Their messages have been released already.
    Persisted(WriteId),
    /// Everything up to this slot has been applied to the state machine.
    Applied(Slot),
    /// The effects of everything up to this slot are durable in the state machine. May come before [`Input::Applied`] says that
    /// they are there, for the two come from different threads.
    Flushed(Slot),
    /// The answer to [`Output::Load`]: consecutive chosen values from `from` on; fewer than asked for is allowed.
    Loaded {
        /// Who wanted them.
        peer: Address,
        /// Slot of the first value.
        from: Slot,
        /// The values.
        values: Vec<Value>,
    },
    /// A piece that [`Output::ReadSnapshot`] asked for, in the order of their numbers.
    SnapshotRead {
        /// Who wants it.
        peer: Address,
        /// Which snapshot it is of: the one that was asked for, or a new one.
        snapshot: SnapshotId,
        /// Which piece, from 0.
        number: u64,
        /// Whether it is the last.
        last: bool,
        /// Its bytes; far shorter than a frame may be.
        payload: Bytes,
    },
    /// Another answer to [`Output::ReadSnapshot`]: there is no such snapshot any more, or none can be made now.
    SnapshotGone {
        /// Who wants it.
        peer: Address,
        /// Which was asked for.
        snapshot: Option<SnapshotId>,
    },
    /// The answer to [`Output::StageSnapshot`]: the piece is taken. If it was the last, then the whole snapshot is verified,
    /// durable, and will be installed whenever the node starts next.
    SnapshotStaged {
        /// Which snapshot.
        snapshot: SnapshotId,
        /// Which piece.
        number: u64,
    },
    /// Another answer to [`Output::StageSnapshot`]: the piece, or the whole, did not verify. What was staged is dropped.
    SnapshotRefused {
        /// Which snapshot.
        snapshot: SnapshotId,
    },
    /// How much room the disk has. Said again whenever it changes; until then it is ample.
    Space(Room),
    /// The round trip to a peer as the transport measures it.
    RoundTrip {
        /// The peer.
        node: NodeId,
        /// Smoothed round trip.
        round_trip: Duration,
    },
    /// E4: another node is to lead. Answered with [`Event::HandingOver`] and later [`Event::HandedOver`], or with
    /// [`Event::HandOverFailed`].
    HandOver {
        /// Which; `None`: the best one there is.
        to: Option<NodeId>,
    },
    /// Time passed: the deadline was reached.
    Tick,
}

/// Something that the node must do. Outputs are done in the order in which they come.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Make records durable, then release messages.
    Write(Write),
    /// Send a message that rests on nothing which is not durable yet.
    Send(Envelope),
    /// Apply a chosen entry; entries come in slot order without gaps (C2).
    Apply(Entry),
    /// Answer a client's request. Commands that were done are answered by the applier instead.
    Answer(RequestId, Outcome),
    /// Read chosen values back from the journal for a peer that is far behind.
    Load {
        /// Who wants them.
        peer: Address,
        /// First slot.
        from: Slot,
        /// Last slot.
        to: Slot,
        /// Stop once this many bytes are read (at least one value is returned).
        max_bytes: usize,
    },
    /// Read pieces of a snapshot for a peer that is behind every log; each is reported with [`Input::SnapshotRead`].
    ReadSnapshot {
        /// Who wants them.
        peer: Address,
        /// Which snapshot. `None`: one of the state as it is now; if the one made last for this peer was hardly read, that
        /// one will do, for questions are repeated.
        snapshot: Option<SnapshotId>,
        /// The first piece.
        from: u64,
        /// How many pieces, if there are so many.
        count: u64,
    },
    /// Put a piece of a peer's snapshot beside the state machine. Pieces of one snapshot come in the order of their numbers;
    /// number 0 begins a snapshot and drops whatever was staged before.
    StageSnapshot {
        /// Which snapshot.
        snapshot: SnapshotId,
        /// Which piece, from 0.
        number: u64,
        /// Whether it is the last.
        last: bool,
        /// Its bytes, not verified yet.
        payload: Bytes,
    },
    /// The staged snapshot of this slot is to take the place of the state machine: the process ends here, and starts again
    /// with what it then finds on its disk.
    InstallSnapshot {
        /// The applied slot that it shows.
        slot: Slot,
    },
    /// The journal may forget every slot up to here.
    Trim(Slot),
    /// Something an operator may want to know.
    Event(Event),
}

/// A write of the journal with the messages that rest on it (A3).
#[derive(Clone, PartialEq, Debug)]
pub struct Write {
    /// Names it in [`Input::Persisted`].
    pub id: WriteId,
    /// What becomes durable, all or nothing. May be empty: then `then` waits for the earlier writes only.
    pub records: Vec<Record>,
    /// Released when this and every earlier write is durable. A message to this node itself comes back as
    /// [`Input::Receive`].
    pub then: Vec<Envelope>,
}

/// A fact that must survive a crash.
#[derive(Clone, PartialEq, Hash, Debug)]
pub enum Record {
    /// A1: the acceptor's promise.
    Promised(Ballot),
    /// A2: the acceptor's vote in a slot; replaces an earlier one there.
    Voted {
        /// The slot.
        slot: Slot,
        /// The ballot voted in.
        ballot: Ballot,
        /// The value voted for.
        value: Value,
    },
    /// C1: the value chosen in a slot, learned from a peer; replaces a vote there.
    Learned {
        /// The slot.
        slot: Slot,
        /// The chosen value.
        value: Value,
    },
    /// Every slot up to here is chosen, and its entry in the journal is the chosen value.
    Chosen(Slot),
    /// R2: the configurations as of a slot that is known to be chosen. Replaces what was recorded before, and outlasts both
    /// the slots that brought them and the state.
    Configurations(Configurations),
}

/// What the journal holds for one slot.
#[derive(Clone, PartialEq, Hash, Debug)]
pub enum Logged {
    /// A vote, which may or may not be chosen.
    Voted(Ballot, Value),
    /// A value known to be chosen.
    Learned(Value),
}

impl Logged {
    /// The value, voted for or learned.
    #[must_use]
    pub fn value(&self) -> &Value {
        match self {
            Logged::Voted(_, value) | Logged::Learned(value) => value,
        }
    }
}

/// A chosen slot to be applied.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Where.
    pub slot: Slot,
    /// What.
    pub value: Value,
}

/// How a request ended, as far as the core can tell (X2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The read may be served from this node's state, which has applied at least this slot.
    Read(Slot),
    /// The change of configuration is chosen and takes effect.
    Reconfigured {
        /// Its number.
        epoch: Epoch,
        /// The slot in which it was chosen.
        slot: Slot,
        /// The first slot that it governs.
        from: Slot,
    },
    /// Certainly not done.
    Refused(Refusal),
    /// May or may not be done.
    Unknown(Doubt),
}

/// Why a request was certainly not done.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No leader was found in time.
    NoLeader,
    /// The leader has lost its phase-2 quorum (E3).
    NoQuorum,
    /// The node that was asked does not lead, or no longer under that ballot.
    NotLeader,
    /// A queue is full; try later.
    Overloaded,
    /// The command is larger than a slot may be.
    TooLarge,
    /// This node's disk has no room.
    NoSpace,
    /// The change of configuration is not made.
    Change(Objection),
}

/// Why it is not known whether a command was done.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// The leader that had it was deposed (L6).
    LeaderChanged,
    /// It was proposed, and its deadline passed.
    TimedOut,
}

/// Something an operator may want to know. The core logs nothing itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// This node suspects the leader and asks its peers whether they do too (E1).
    Canvassing,
    /// This node started phase 1.
    Preparing(Ballot),
    /// This node leads.
    Leading(Ballot),
    /// This node follows the leader of this ballot.
    Following(Ballot),
    /// This node gave way to a higher ballot (L6).
    SteppedDown {
        /// Its own ballot.
        from: Ballot,
        /// The ballot it saw.
        to: Ballot,
    },
    /// This node led no more without knowing it: another value than its own was chosen in a slot (L6).
    Overtaken {
        /// Its ballot.
        from: Ballot,
        /// The slot.
        slot: Slot,
    },
    /// The leader no longer hears a phase-2 quorum and stops accepting proposals (E3).
    QuorumLost,
    /// The leader hears a phase-2 quorum again.
    QuorumRegained,
    /// This leader begins to hand over to another node (E4).
    HandingOver {
        /// Which.
        to: NodeId,
    },
    /// The other node leads.
    HandedOver {
        /// Which.
        to: NodeId,
        /// How long it took, from when it was wanted until this node heard the new leader.
        took: Duration,
    },
    /// A hand-over came to nothing, or another than the intended node leads. A leader that still is one goes on.
    HandOverFailed {
        /// Which node was to lead, if a certain one was.
        to: Option<NodeId>,
        /// Why it does not.
        reason: Stays,
    },
    /// This acceptor does not answer a higher ballot yet: it has granted a lease, or may have before it was restarted (D3, D4).
    PrepareWithheld {
        /// The ballot.
        ballot: Ballot,
        /// For how long, as things are.
        wait: Duration,
    },
    /// A message was not for this node, cluster or life of its disk (A8).
    Misaddressed(Address),
    /// An acceptor refused a ballot of this node.
    Rejected {
        /// The ballot that was refused.
        ballot: Ballot,
        /// What the acceptor had promised.
        promised: Ballot,
    },
    /// A phase-2 quorum chose a slot that this node proposed.
    ChosenAt {
        /// The slot.
        slot: Slot,
        /// When it was proposed.
        proposed: Time,
        /// Whose vote completed the quorum.
        last: NodeId,
    },
    /// A phase-1 quorum promised.
    PhaseOne {
        /// How long it took.
        took: Duration,
    },
    /// This node needs slots that every peer it hears has trimmed: it asks for a snapshot (C3).
    OutOfReach {
        /// Every one of them has trimmed this prefix at least.
        trimmed: Slot,
    },
    /// This node's disk has no room: it neither votes nor leads (E5).
    SpaceExhausted,
    /// This node's disk has room again.
    SpaceRegained,
    /// This node leads no more, because its own disk stalls (E5).
    Stalled {
        /// How long its oldest write has taken so far.
        since: Duration,
    },
    /// The first piece of a snapshot is here.
    SnapshotBegun {
        /// Who sends it.
        peer: NodeId,
        /// Which.
        snapshot: SnapshotId,
    },
    /// The log above a snapshot is no longer kept for a peer that has not caught up yet: it may need another copy (C4).
    ReaderLetGo {
        /// The peer.
        peer: NodeId,
        /// Why.
        reason: LetGo,
    },
    /// A change of configuration is chosen and takes effect (R2): whom this node talks to may have changed
    /// ([`Replica::contacts`](crate::Replica::contacts)).
    ChangeChosen {
        /// Its number.
        epoch: Epoch,
        /// The slot in which it was chosen.
        slot: Slot,
        /// The first slot that it governs.
        from: Slot,
    },
    /// A change of configuration is chosen and takes no effect (R2).
    ChangeVoid {
        /// The slot.
        slot: Slot,
        /// Why.
        objection: Objection,
    },
    /// At the leader: a phase-1 quorum of a new configuration has promised, so it may propose in its slots (R3).
    ConfigurationOpened {
        /// Its number.
        epoch: Epoch,
    },
    /// Every slot before the first of the newest configuration is chosen: it governs all that follows.
    InForce {
        /// Its number.
        epoch: Epoch,
    },
    /// R6: the configurations before this one are not needed any more. At the leader first, which tells the others.
    ConfigurationRetired {
        /// The number of the one that took over.
        epoch: Epoch,
        /// Who was a member and is none any more: these nodes may be switched off.
        left: Vec<Address>,
    },
    /// R6: this node is no member any more and may be switched off.
    MayStop {
        /// The number of the configuration that does without it.
        epoch: Epoch,
    },
    /// R8: this leader is no voter of the configuration that is in force, and leads no more.
    LeftOut {
        /// The number of that configuration.
        epoch: Epoch,
    },
    /// A snapshot, or the attempt to get one, came to nothing. Another attempt follows if one is needed.
    SnapshotAbandoned {
        /// Who was asked.
        peer: NodeId,
        /// Why.
        reason: Abandoned,
    },
}

/// Why a snapshot was given up.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Abandoned {
    /// The peer did not answer, or no longer.
    Silent,
    /// The peer has no such snapshot, or cannot make one.
    Gone,
    /// The snapshot is of a slot that this node has applied already, or of one below its journal's beginning.
    Old,
    /// Its pieces do not verify.
    Refused,
    /// The log brought what was missing.
    Overtaken,
}

/// How much room the disk of a node has.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Room {
    /// For all that is wanted.
    #[default]
    Ample,
    /// For records, and not for what is kept as a favour to peers (C4).
    Scarce,
    /// Not for records either (E5).
    Exhausted,
}

/// Why the log is no longer kept for a peer that reads, or has read, a snapshot from this node (C4).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum LetGo {
    /// It has neither read nor fetched for too long.
    Silent,
    /// More would have to be kept than another copy costs.
    TooMuch,
    /// The disk is short of room.
    NoRoom,
}

/// What a node is told once, when it is built. All durations are on the node's own clock.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node in this life of its disk.
    pub address: Address,
    /// Names this process; drawn at random at each start.
    pub boot: u64,
    /// The configuration of slot 1 onwards.
    pub genesis: Configuration,
    /// For a node that is no member of the first configuration: the one that it was told of when it was added. Until it has
    /// learned of that one from the log it says where the others are found, and nothing else.
    pub introduced: Option<Configuration>,
    /// How often a leader says that it is alive.
    pub heartbeat_interval: Duration,
    /// Shortest silence after which a leader is suspected; the wait is drawn between one and two of these.
    pub election_timeout: Duration,
    /// How much longer than others this node waits before it stands: 0 stands first.
    pub reluctance: u32,
    /// Leases for reads; `None`: neither asked for nor granted. A node that may have granted a lease must not be restarted with
    /// a shorter one, or none, within the time of the old (D4).
    pub lease: Option<LeaseOptions>,
    /// A leader hands over by itself to a less reluctant node that could have led for so long; `None`: never (E4).
    pub hand_back: Option<Duration>,
    /// Most bytes of commands in one slot.
    pub max_batch_bytes: usize,
    /// Most bytes of commands proposed and not yet chosen.
    pub max_inflight_bytes: usize,
    /// Shortest time between the slots of a leader that has several in flight; gives batches time to fill.
    pub batch_interval: Duration,
    /// Slots in flight up to which a leader does not wait for a batch to fill.
    pub eager_slots: usize,
    /// Most commands that wait to be proposed or forwarded, or for their outcome.
    pub max_queued: usize,
    /// Most bytes of commands that wait to be proposed or forwarded.
    pub max_queued_bytes: usize,
    /// Bytes of applied entries kept in memory for peers that are slightly behind.
    pub cache_bytes: usize,
    /// Applied slots kept in the journal although every member has them.
    pub keep_slots: u64,
    /// Slots that the journal keeps at most for members that lack them, as far as this node's state holds them durably (C4).
    pub max_log_slots: u64,
    /// Bytes of values that it keeps at most for them. For a peer that has read a snapshot and not caught up yet four times as
    /// many, or as many as it has read, if that is more, and any number of slots.
    pub max_log_bytes: u64,
    /// Slots that are trimmed together, because forgetting a range costs about the same whatever its length; fewer, if they are
    /// large.
    pub trim_step: u64,
    /// Most bytes of values in one page of a promise (L9); one vote is reported even if it is larger.
    pub page_bytes: usize,
}

/// What a node found on its disk. [`Recovered::default`] is an empty disk.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Recovered {
    /// The highest ballot promised.
    pub promised: Ballot,
    /// Every slot up to here is chosen.
    pub chosen: Slot,
    /// The state machine has durably applied everything up to here; the core asks for what follows again.
    pub applied: Slot,
    /// Every slot up to here is gone from the journal. Beyond `applied`, if the state machine was lost: then the node votes as
    /// before and asks for a snapshot (C3).
    pub trimmed: Slot,
    /// Bytes of the values that the journal holds of the slots from `trimmed` on and up to `applied`; an estimate will do.
    pub log_bytes: u64,
    /// What the journal holds of the slots above `applied` and `trimmed`, in slot order.
    pub log: Vec<(Slot, Logged)>,
    /// The later ([`Configurations::newer`]) of what the journal recorded and what came with the state; nothing while there was
    /// no change.
    pub configurations: Option<Configurations>,
}
