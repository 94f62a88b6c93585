//! What the journal asks of a storage engine.

use std::ops::ControlFlow;

use paxos::{Ballot, Configurations, Slot};

/// Ordered durable storage for log entries and some marks. Errors are sentences of the engine's own.
pub(super) trait Engine: Send + Sync + 'static {
    /// The marks as they were last committed.
    fn marks(&self) -> Result<Marks, String>;

    /// Shows the entries of the slots from `from` to `to`, both included, in slot order.
    fn scan(&self, from: Slot, to: Slot, visit: &mut dyn FnMut(Slot, &[u8]) -> ControlFlow<()>) -> Result<(), String>;

    /// Makes all changes durable, all or nothing, after everything that was committed before. Once it has returned, an end
    /// of the journal before these changes is noticed when it is opened (A6).
    fn commit(&self, changes: &Changes) -> Result<(), String>;

    /// Gives back the disk space of slots up to `to`, which were trimmed in a commit; not durable work, may do little.
    fn reclaim(&self, to: Slot) -> Result<(), String>;

    /// Does what need not be done before anybody is answered; called after every commit and, with `last`, at the end.
    fn settle(&self, last: bool) -> Result<(), String>;

    /// Bytes on the disk; about.
    fn size(&self) -> u64;

    /// Whether the engine's own threads have written all that they had to. Never waits for the disk.
    fn sound(&self) -> Result<(), String>;
}

/// How far the journal reaches.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Marks {
    /// The highest ballot promised.
    pub(super) promised: Ballot,
    /// Every slot up to here is chosen, and its entry is the chosen value.
    pub(super) chosen: Slot,
    /// Every slot up to here is gone.
    pub(super) trimmed: Slot,
    /// The configurations, if there ever was a change.
    pub(super) configurations: Option<Configurations>,
    /// The newest process of this node (X1); 0 if none was numbered.
    pub(super) process: u64,
}

/// What one commit changes.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Changes {
    /// Entries, in the order in which they replace each other.
    pub(super) entries: Vec<(Slot, Vec<u8>)>,
    /// New values of the marks that move.
    pub(super) promised: Option<Ballot>,
    pub(super) chosen: Option<Slot>,
    /// The configurations, if they changed.
    pub(super) configurations: Option<Configurations>,
    /// Entries up to here are removed.
    pub(super) trimmed: Option<Slot>,
    /// A process begins.
    pub(super) process: Option<u64>,
}
