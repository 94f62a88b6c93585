//! Steps of writing, at which a test may stop the process.
//!
//! Between two steps a crash must lose nothing that was acknowledged. Chance finds most of those places and misses the
//! short ones; so tests name them. A watcher is code, handed over by [`watch`]: no variable, flag or setting reaches it, and
//! a node has none. What is left in a node is one load from memory for each batch.

use std::sync::OnceLock;

/// A place between two effects on the disk.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
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
}

impl Step {
    /// All steps, in the order in which a write meets them.
    pub const ALL: [Step; 12] = [
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
