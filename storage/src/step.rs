//! Steps of writing, at which a test may stop the process.
//!
//! Between two steps a crash must lose nothing that was acknowledged. Chance finds most of those places and misses the
//! short ones; so tests name them. A watcher is code, handed over by [`watch`]: no variable, flag or setting reaches it, and
//! a node has none. What is left in a node is one load from memory for each batch.

use std::sync::OnceLock;

/// A place between two effects on the disk.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// A new data folder is made, and its parts do not have their names.
    Made,
    /// The state of a new data folder has its name, the journal does not.
    StateNamed,
    /// All of a new data folder has its name, and where it was made is still there.
    JournalNamed,
    /// The journal is about to write and sync a batch.
    Commit,
    /// The batch is durable, and nothing is said about it.
    Synced,
    /// The messages of the batch are released; the core does not know.
    Released,
    /// The core knows that the batch is durable.
    Persisted,
    /// The batch removed old slots.
    Trimmed,
    /// The disk space of removed slots is about to be given back.
    Reclaim,
    /// The disk space of removed slots is given back.
    Reclaimed,
    /// Chosen entries are about to be applied.
    Apply,
    /// The effects are collected, and about to be written to the tables.
    TableWrite,
    /// The effects are in the tables; no client knows.
    TableWritten,
    /// The tables are about to be made durable.
    Flush,
    /// The tables are durable; the core does not know.
    Flushed,
    /// A file with rows of a peer's state is written, and more are to come.
    RowsWritten,
    /// All rows of a peer's state are in tables, and these are not synced.
    Built,
    /// The tables are whole and synced, and do not have their name.
    BuiltSynced,
    /// They have their name: the next start installs them.
    Staged,
    /// A state that was staged is about to take the place of the present one.
    Exchange,
    /// It has, and that is not synced.
    Exchanged,
    /// It has durably, and the old state is still there.
    Installed,
}

impl Step {
    /// All steps.
    pub const ALL: [Step; 22] = [
        Step::Made,
        Step::StateNamed,
        Step::JournalNamed,
        Step::Commit,
        Step::Synced,
        Step::Released,
        Step::Persisted,
        Step::Trimmed,
        Step::Reclaim,
        Step::Reclaimed,
        Step::Apply,
        Step::TableWrite,
        Step::TableWritten,
        Step::Flush,
        Step::Flushed,
        Step::RowsWritten,
        Step::Built,
        Step::BuiltSynced,
        Step::Staged,
        Step::Exchange,
        Step::Exchanged,
        Step::Installed,
    ];
}

static WATCHER: OnceLock<fn(Step)> = OnceLock::new();

/// Has every step of every store in this process reported to `watcher`, on the thread that takes the step. For tests.
///
/// # Panics
/// If there is a watcher already.
pub fn watch(watcher: fn(Step)) {
    assert!(WATCHER.set(watcher).is_ok(), "a process has one watcher of steps");
}

/// Reports a step.
pub(crate) fn reached(step: Step) {
    if let Some(watcher) = WATCHER.get() {
        watcher(step);
    }
}
