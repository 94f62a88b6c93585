//! A node's data folder: journal and state, opened together.

mod making;
mod state;

pub use making::Found;
pub(crate) use making::MAKING;
pub(crate) use state::CONDEMNED;

use std::path::{Path, PathBuf};

use paxos::Recovered;
use prometheus::Registry;
use quorum::NodeId;
use thiserror::Error;

use crate::journal::{Hooks, Identity, Journal, JournalSettings, OpenError};
use crate::machine::{HEAD_CACHE_BYTES, Machine};
use crate::snapshot::installed;
use crate::tables::{RocksTables, StateSettings, TableBatch, Tables, TablesError};

/// Everything a node remembers, opened and checked.
pub struct Store {
    /// Promises, votes, chosen values.
    pub journal: Journal,
    /// The state machine, as far as its effects were durable.
    pub machine: Machine<RocksTables>,
    /// What the core is told.
    pub recovered: Recovered,
}

/// How a store works.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct StoreSettings {
    /// The journal's part.
    pub journal: JournalSettings,
    /// The state's part.
    pub state: StateSettings,
    /// Memory for the numbers of recently used keys.
    pub head_cache_bytes: usize,
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings {
            journal: JournalSettings::default(),
            state: StateSettings::default(),
            head_cache_bytes: HEAD_CACHE_BYTES,
        }
    }
}

/// A data folder cannot be opened or made.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum StoreError {
    /// The journal's part.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The state's part.
    #[error(transparent)]
    State(#[from] TablesError),
    /// The folder has something in it.
    #[error("{} is not empty: a new node is initialised only in an empty folder", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// Its making was interrupted.
    #[error("the making of the data folder {} was interrupted, and no node ever ran on it: start the node with --bootstrap, which makes it again", dir.display())]
    HalfMade {
        /// The folder.
        dir: PathBuf,
    },
    /// The journal was found damaged while the node ran (A6).
    #[error("the journal in {} was found damaged while the node ran ({why}), so it may have forgotten what it promised, and the node must not vote any more. Keep the folder; `synod disk check {}` reads all of it, and docs/operations.md, \"A node that must not vote\", tells how the node comes back", dir.display(), dir.display())]
    Condemned {
        /// The folder.
        dir: PathBuf,
        /// What was found.
        why: String,
    },
    /// What a new store was to begin with cannot be had.
    #[error("{0}")]
    Staging(String),
    /// The state is another node's than the journal.
    #[error("the state in {} belongs to another node than the journal beside it: {what}", dir.display())]
    Foreign {
        /// The state's folder.
        dir: PathBuf,
        /// Which fields differ.
        what: String,
    },
    /// The folder cannot be used.
    #[error("{} cannot be used as a data folder: {reason}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        reason: String,
    },
}

/// A file in the data folder that says what was found in the journal, so that no start takes it for whole because it does not
/// come upon the same place.
pub(crate) const JOURNAL_CONDEMNED: &str = "journal.condemned";

/// Why the journal in `dir` must not be used any more, if that was found out.
pub(crate) fn journal_condemned(dir: &Path) -> Option<String> {
    match std::fs::read_to_string(dir.join(JOURNAL_CONDEMNED)) {
        Ok(why) => Some(why),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(format!("{JOURNAL_CONDEMNED} cannot be read: {error}")),
    }
}

/// Where the state keeps whose it is.
const OWNER: &[u8] = b"i";

impl Store {
    /// What there is in the folder `dir`.
    #[must_use]
    pub fn found(dir: &Path) -> Found {
        making::found(dir)
    }

    /// Makes an empty store for a new node in `dir`, which must be empty, not exist, or be [half-made](Found::HalfMade). It is
    /// there whole and durably, or [`Store::open`] refuses what there is.
    ///
    /// # Errors
    /// [`StoreError`]; what a node ever ran on is untouched.
    pub fn create(dir: &Path, identity: &Identity) -> Result<(), StoreError> {
        Store::create_with(dir, identity, |_| Ok(()))
    }

    /// The same for a node that begins with a state: what `stage` leaves staged in the folder that it is given, as if that were a
    /// data folder to which a peer had sent its state ([`RocksSink`](crate::snapshot::RocksSink)).
    ///
    /// # Errors
    /// [`StoreError`], or what `stage` says.
    pub fn create_with(
        dir: &Path,
        identity: &Identity,
        stage: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<(), StoreError> {
        making::make(dir, identity, stage)
    }

    /// Opens the store in `dir` if its journal is whole and belongs to `expected`.
    ///
    /// The journal is opened first and holds the folder against a second process. Then a state that was fetched from a peer
    /// is installed, if there is one and it is newer; and a state that is damaged or missing is replaced by an empty one, for
    /// it can be fetched again. The state may lag behind the journal, which replays what it misses, or behind the journal's
    /// beginning; but it must not be ahead of the journal's end (A6).
    ///
    /// # Errors
    /// [`StoreError`]: the node must not take part.
    pub fn open(
        dir: &Path,
        expected: &Identity,
        settings: StoreSettings,
        hooks: Hooks,
        registry: &Registry,
    ) -> Result<Store, StoreError> {
        if Store::found(dir) == Found::HalfMade {
            return Err(StoreError::HalfMade { dir: dir.to_owned() });
        }
        if let Some(why) = journal_condemned(dir) {
            let dir = dir.to_owned();
            return Err(StoreError::Condemned { dir, why });
        }
        let journal = Journal::open(&journal_dir(dir), expected, settings.journal, hooks, registry)?;
        making::finish(dir).map_err(|error| StoreError::Folder {
            dir: dir.to_owned(),
            reason: error.to_string(),
        })?;
        let tables = state::open(dir, expected, settings.state, &journal)?;
        let installed = installed(&tables)?;
        let machine = Machine::open(tables, settings.head_cache_bytes)?;
        let mut recovered = journal.recover_beside(machine.progress().applied, installed)?;
        // R2: the journal was told when the change was chosen, the state when it was applied or came from a peer.
        let known = [recovered.configurations.take(), machine.configurations().cloned()];
        recovered.configurations = known.into_iter().flatten().reduce(paxos::Configurations::newer);
        Ok(Store {
            journal,
            machine,
            recovered,
        })
    }

    /// X1: numbers the process that begins, above every earlier one of this node that journal or state know of. `now` is the
    /// time, in microseconds since 1970: it is above them even if the disk is new, unless the clock was set back.
    ///
    /// # Errors
    /// [`StoreError`] if the journal cannot be written.
    pub fn begin_process(&self, node: NodeId, now: u64) -> Result<u64, StoreError> {
        let least = now.max(self.machine.newest_process(node) + 1);
        Ok(self.journal.begin_process(least)?)
    }

    /// Has the state in `dir` set aside and fetched again from a peer when the node starts next: what is read there is not
    /// what was written. The journal keeps its word, so the node goes on voting. May be called while the store is open.
    ///
    /// # Errors
    /// What the system says; then nothing is changed.
    pub fn condemn_state(dir: &Path, why: &str) -> std::io::Result<()> {
        state::condemn(dir, why)
    }

    /// Has no start open the store in `dir` any more: what is read in its journal is not what was written (A6). May be called
    /// while the store is open.
    ///
    /// # Errors
    /// What the system says; then a start may open it.
    pub fn condemn_journal(dir: &Path, why: &str) -> std::io::Result<()> {
        state::write_down(dir, JOURNAL_CONDEMNED, why)
    }
}

/// Writes down whose the state is.
pub(crate) fn put_owner(batch: &mut impl TableBatch, owner: &Identity) {
    batch.put(OWNER, &owner.to_bytes());
}

/// Whose the state is, if it says so.
pub(crate) fn owner(tables: &RocksTables) -> Result<Option<Identity>, TablesError> {
    Ok(tables.get(OWNER)?.and_then(|owner| Identity::from_bytes(&owner)))
}

/// How the state's owner differs from the expected one, if it does.
pub(crate) fn foreign(tables: &RocksTables, expected: &Identity) -> Result<Option<String>, TablesError> {
    let Some(owner) = tables.get(OWNER)? else {
        return Err(TablesError::Damaged {
            what: "it does not say whose it is".to_owned(),
        });
    };
    Ok(match Identity::from_bytes(&owner) {
        Some(owner) => owner.differences(expected),
        None => Some(format!("{owner:?} is not an identity of this build's format")),
    })
}

pub(crate) fn journal_dir(dir: &Path) -> PathBuf {
    dir.join("journal")
}

pub(crate) fn state_dir(dir: &Path) -> PathBuf {
    dir.join("state")
}

/// Where a state is built that is fetched from a peer.
pub(crate) fn incoming_dir(dir: &Path) -> PathBuf {
    dir.join("incoming")
}
