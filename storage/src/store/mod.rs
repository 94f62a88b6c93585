//! A node's data folder: journal and state, opened together.

use std::fs;
use std::path::{Path, PathBuf};

use paxos::Recovered;
use prometheus::Registry;
use thiserror::Error;

use crate::journal::{Hooks, Identity, Journal, JournalSettings, OpenError};
use crate::machine::{HEAD_CACHE_BYTES, Machine};
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

/// Where the state keeps whose it is.
const OWNER: &[u8] = b"i";

impl Store {
    /// Whether there is something in the folder that [`Store::open`] should be asked to open: it is not a new node's.
    #[must_use]
    pub fn exists(dir: &Path) -> bool {
        fs::read_dir(dir).is_ok_and(|mut files| files.next().is_some())
    }

    /// Makes an empty store for a new node in `dir`, which must be empty or not exist.
    ///
    /// The journal is made last: a folder without one was never used.
    ///
    /// # Errors
    /// [`StoreError`]; what was in the folder is untouched.
    pub fn create(dir: &Path, identity: &Identity) -> Result<(), StoreError> {
        let folder = |error: std::io::Error| StoreError::Folder {
            dir: dir.to_owned(),
            reason: error.to_string(),
        };
        fs::create_dir_all(dir).map_err(folder)?;
        if fs::read_dir(dir).map_err(folder)?.next().is_some() {
            return Err(StoreError::NotEmpty { dir: dir.to_owned() });
        }
        let tables = RocksTables::open(&state(dir), true, StateSettings::default())?;
        let mut batch = tables.batch(128);
        TableBatch::put(&mut batch, OWNER, &identity.to_bytes());
        tables.write(batch)?;
        tables.flush()?;
        Journal::create(&journal(dir), identity)?;
        Ok(())
    }

    /// Opens the store in `dir` if it is whole and belongs to `expected`.
    ///
    /// The journal is opened first and holds the folder against a second process. Then the two are compared: the state
    /// may lag behind, for the journal replays what it misses, but must not be older than where the journal begins, nor
    /// ahead of where it ends.
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
        let journal = Journal::open(&journal(dir), expected, settings.journal, hooks, registry)?;
        let tables = RocksTables::open(&state(dir), false, settings.state)?;
        if let Some(what) = foreign(&tables, expected)? {
            return Err(StoreError::Foreign { dir: state(dir), what });
        }
        let machine = Machine::open(tables, settings.head_cache_bytes)?;
        let recovered = journal.recover(machine.progress().applied)?;
        Ok(Store {
            journal,
            machine,
            recovered,
        })
    }
}

/// How the state's owner differs from the expected one, if it does.
fn foreign(tables: &RocksTables, expected: &Identity) -> Result<Option<String>, TablesError> {
    let Some(owner) = tables.get(OWNER)? else {
        return Ok(Some("it does not say whose it is".to_owned()));
    };
    Ok(match Identity::from_bytes(&owner) {
        Some(owner) => owner.differences(expected),
        None => Some(format!("{owner:?} is not an identity of this build's format")),
    })
}

fn journal(dir: &Path) -> PathBuf {
    dir.join("journal")
}

fn state(dir: &Path) -> PathBuf {
    dir.join("state")
}
