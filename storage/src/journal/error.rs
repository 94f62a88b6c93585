//! What can go wrong with a journal.

use std::path::PathBuf;

use paxos::{Slot, Write};
use thiserror::Error;

/// The journal failed for good (A5): what was not reported durable may or may not be on the disk.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum JournalError {
    /// The disk, or the engine on it.
    #[error("a write to the journal failed, so nothing more may be written: {0}")]
    Write(String),
    /// The journal's thread broke an invariant.
    #[error("the journal's thread panicked; its message is in the log above")]
    Panicked,
    /// The journal is being closed.
    #[error("the journal is closed")]
    Closed,
}

/// Writes were not queued.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum SubmitError {
    /// Too many are waiting for the disk.
    #[error("{queued_writes} writes with {queued_bytes} bytes wait for the disk already")]
    Full {
        /// The writes that were not queued.
        writes: Vec<Write>,
        /// How many wait.
        queued_writes: usize,
        /// How many bytes they have.
        queued_bytes: usize,
    },
    /// The journal failed earlier.
    #[error(transparent)]
    Failed(#[from] JournalError),
}

/// Chosen values cannot be read back.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LoadError {
    /// A slot is not there: it was trimmed, or never written.
    #[error("the journal has no slot {slot}")]
    Missing {
        /// Which.
        slot: Slot,
    },
    /// A slot's bytes are not what was written.
    #[error("slot {slot} of the journal is damaged: {reason}")]
    Damaged {
        /// Which.
        slot: Slot,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine cannot read.
    #[error("the journal cannot be read: {0}")]
    Engine(String),
}

/// A journal cannot be opened or made.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// There is none.
    #[error("{} holds no journal. A new node's is made by `synod start --bootstrap`; a node that lost its disk has forgotten what it promised and must not start again under its old identity: see docs/operations.md, \"A node that must not vote\"", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// Something is there already.
    #[error("{} is not empty: a new journal is made only in an empty folder", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// Making it was interrupted before anything was promised.
    #[error("{} holds a journal that was never finished: remove the data folder and start the node with --bootstrap again", dir.display())]
    Unfinished {
        /// The folder.
        dir: PathBuf,
    },
    /// It belongs to somebody else.
    #[error("the journal in {} is not this node's: {differences}. Either `data_dir` names another node's disk, or `node` another node", dir.display())]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// Each field that differs, with both values.
        differences: String,
    },
    /// A newer build wrote it.
    #[error("the journal in {} is in format {found}, and this build reads formats up to {known}: start a newer build", dir.display())]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// The journal's format.
        found: u32,
        /// The newest format that this build reads.
        known: u32,
    },
    /// A process has it open.
    #[error("the journal in {} is in use by {}: only one process may have it open", dir.display(), holder.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// Which process, if that is known.
        holder: Option<u32>,
    },
    /// A6: it is not whole, so the node must not vote.
    #[error("the journal in {} is damaged, so this node must not vote: {what}. Nothing was changed. Leave the node stopped and keep the folder; `synod disk check {}` lists all that is wrong, and docs/operations.md, \"A node that must not vote\", tells how it comes back", dir.display(), dir.parent().unwrap_or(dir).display())]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// The disk, or the engine on it.
    #[error("the journal in {} cannot be opened: {reason}", dir.display())]
    Engine {
        /// The folder.
        dir: PathBuf,
        /// What it says.
        reason: String,
    },
}
