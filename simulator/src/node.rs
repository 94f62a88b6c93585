//! A simulated machine: its disk, its state on disk, and the process that runs on it, if one does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use paxos::{Ballot, Entry, Replica, Slot, Time, Wake};
use quorum::Incarnation;

use crate::client::Op;
use crate::clock::{Clock, Moment};
use crate::cluster::event::Happening;
use crate::cluster::snapshots::Transfers;
use crate::coverage::Step;
use crate::disk::{Disk, Store};
use crate::machine::Machine;
use crate::tables::DiskTables;

/// What outlives a process.
pub(crate) struct Node {
    pub(crate) disk: Disk,
    /// What the state machine is kept in.
    pub(crate) tables: DiskTables,
    /// How far the state machine is durable.
    pub(crate) flushed: Slot,
    /// The chosen prefix that its disk held as such before it was last struck (R6).
    pub(crate) once_kept: Slot,
    pub(crate) process: Option<Process>,
    /// Frozen: what happens to it waits.
    pub(crate) paused: bool,
    /// Since when, or when it was last.
    pub(crate) frozen: Moment,
    /// What waits for a frozen process, with the process it was meant for.
    pub(crate) waiting: VecDeque<(Option<u64>, Happening)>,
    /// The life of its disk.
    pub(crate) incarnation: Incarnation,
    /// It will not take part any more: its disk could not show itself to be whole, and nobody re-admits it.
    pub(crate) lost: bool,
    /// It was said to be needed no more, and is switched off until it is a member again (R6).
    pub(crate) off: bool,
    /// A peer's whole state, which the next start installs (C3).
    pub(crate) incoming: Option<DiskTables>,
    /// Soon after how many more starts it dies.
    pub(crate) crash_loop: u32,
    /// A backup of the state, and how far it had come.
    pub(crate) backup: Option<(DiskTables, Slot)>,
    /// Only for a mutant whose disk forgets: an older content of it.
    pub(crate) old_store: Option<Store>,
}

/// A request that a process has taken and not answered.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) client: usize,
    pub(crate) op: Op,
}

/// Everything that dies in a crash.
pub(crate) struct Process {
    /// Its number, counted over all nodes.
    pub(crate) boot: u64,
    pub(crate) replica: Replica,
    pub(crate) clock: Clock,
    pub(crate) machine: Machine,
    pub(crate) to_apply: VecDeque<Entry>,
    pub(crate) pending: BTreeMap<u64, Pending>,
    pub(crate) transfers: Transfers,
    /// It was not told that its disk has no room.
    pub(crate) may_write: bool,
    /// Requests of its operator that are not answered.
    pub(crate) changes: BTreeSet<u64>,
    /// The wake-up that is scheduled, and the deadline it is for.
    pub(crate) wake: Moment,
    pub(crate) deadline: (Time, Wake),
    /// Wake-ups in a row that let no time pass.
    pub(crate) idle_wakes: u32,
    /// The step at which it dies, and how often it passes that before.
    pub(crate) doom: Option<(Step, u32)>,
    /// The last time that it was resumed from a pause.
    pub(crate) resumed: Moment,
    /// The ballot under which it leads, as far as it has said.
    pub(crate) leads: Option<Ballot>,
    /// Whether it is in phase 1.
    pub(crate) prepares: bool,
    /// Whether it has applied anything yet.
    pub(crate) has_applied: bool,
    /// Only for a mutant: its clock was set back.
    pub(crate) set_back: bool,
}

impl Node {
    /// The number of the process that runs here.
    pub(crate) fn boot(&self) -> Option<u64> {
        self.process.as_ref().map(|process| process.boot)
    }

    /// The longest chosen prefix that its disk has ever held as such. Who said so may lose its disk before the leader hears
    /// of it, which is within what the cluster is built to survive: no quorum of phase 1 has that node in it any more (R6).
    pub(crate) fn ever_kept(&self) -> Slot {
        self.disk.store().chosen.max(self.flushed).max(self.once_kept)
    }

    /// Whether something on its disk is not what was written last, or it is lost altogether.
    pub(crate) fn is_spoilt(&self) -> bool {
        self.cannot_run() || self.lacks_state()
    }

    /// Whether it does not start, or may not one day.
    pub(crate) fn cannot_run(&self) -> bool {
        self.lost || self.disk.is_spoilt()
    }

    /// Whether its state is older than its journal's beginning: it needs a snapshot. What a crash leaves in the queue may be a
    /// trim.
    pub(crate) fn lacks_state(&self) -> bool {
        self.flushed < self.disk.trim_ahead()
    }

    /// Whether a process runs here and leads.
    pub(crate) fn leads(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.leads.is_some())
    }
}
