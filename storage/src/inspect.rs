//! A look at a data folder that no node has open: all of it is read, nothing is changed, and there is a verdict.
//!
//! The order of the questions is that of what is at stake. A journal that is not whole has forgotten promises or votes, and a
//! node that forgot must not vote (A6). A state that is not whole has forgotten nothing that was promised: it follows from
//! chosen values, so the node keeps its vote and fetches a snapshot from a peer.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use paxos::Slot;
use rustix::fs::FlockOperation;
use thiserror::Error;

use crate::journal::{self, Identity, JournalFindings};
use crate::machine::StateFindings;
use crate::snapshot::installed;
use crate::store::{
    CONDEMNED, Found, JOURNAL_CONDEMNED, MAKING, Store, foreign, journal_condemned, journal_dir, owner, state_dir,
};
use crate::tables::{RocksTables, TablesError};

/// What a data folder holds, and what is to be done about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// The data folder.
    pub dir: PathBuf,
    /// Bytes of all files in it.
    pub bytes: u64,
    /// Bytes that are free on its disk for this user.
    pub free_bytes: u64,
    /// The journal.
    pub journal: JournalFindings,
    /// The state.
    pub state: StateFindings,
    /// Whose the state is, if it says so.
    pub owner: Option<Identity>,
    /// The state is another node's than the journal.
    pub foreign: bool,
    /// The slot at which the state came from a peer; 0 if it never did.
    pub installed: Slot,
    /// Files and folders beside journal and state.
    pub leftovers: Vec<Leftover>,
    /// What follows.
    pub verdict: Verdict,
}

/// Something beside journal and state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leftover {
    /// Its name in the data folder.
    pub name: String,
    /// What it is.
    pub what: &'static str,
}

/// What a node may do with its data folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// All is as it was written.
    Healthy,
    /// The journal is whole, the state is not.
    FetchState,
    /// The journal is not whole (A6).
    MustNotVote,
    /// A newer build wrote it.
    NewerBuild,
}

/// A data folder cannot be looked at.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum InspectError {
    /// There is none.
    #[error("{} holds no data folder: there is neither a journal nor a state in it", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// Its making was interrupted.
    #[error("{} holds a data folder whose making was interrupted, and on which no node ever ran: start the node with --bootstrap, which makes it again", dir.display())]
    HalfMade {
        /// The folder.
        dir: PathBuf,
    },
    /// A node runs on it.
    #[error("{} is in use by {}: stop it first, a node checks its own disk while it runs", dir.display(), holder.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// Which process, if that is known.
        holder: Option<u32>,
    },
    /// The system does not let us.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

/// How far a look has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Looked {
    /// What is being read.
    pub part: &'static str,
    /// Bytes read in it.
    pub bytes: u64,
    /// Bytes of its files: about how many there are to read.
    pub of: u64,
}

impl Inspection {
    /// Reads all of the data folder `dir`. `looked` hears now and then how far it is.
    ///
    /// # Errors
    /// [`InspectError`] if nothing can be said; whatever is wrong with the data is part of the result instead.
    pub fn of(dir: &Path, looked: &mut dyn FnMut(Looked)) -> Result<Inspection, InspectError> {
        let (journal, state) = (journal_dir(dir), state_dir(dir));
        if Store::found(dir) == Found::HalfMade {
            return Err(InspectError::HalfMade { dir: dir.to_owned() });
        }
        if !journal.exists() && !state.exists() {
            return Err(InspectError::Missing { dir: dir.to_owned() });
        }
        // Held to the end: no node starts meanwhile.
        let _locks = [hold(dir, &journal)?, hold(dir, &state)?];
        let (journal_bytes, state_bytes) = (size(&journal)?, size(&state)?);
        let mut inspection = Inspection {
            dir: dir.to_owned(),
            bytes: size(dir)?,
            free_bytes: free(dir)?,
            journal: JournalFindings::gather(&journal, &mut counter("journal", journal_bytes, looked)),
            state: StateFindings::default(),
            owner: None,
            foreign: false,
            installed: Slot::ZERO,
            leftovers: leftovers(dir)?,
            verdict: Verdict::Healthy,
        };
        inspection.look_at_state(&state, &mut counter("state", state_bytes, looked));
        inspection.compare();
        if let Some(why) = journal_condemned(dir) {
            inspection.journal.faults.push(format!(
                "it was found damaged while the node ran ({why}). If this is the only fault of the journal that is listed here, all of \
                 it reads well now; what made it read badly then is to be found first, and {} removed, before the node starts",
                dir.join(JOURNAL_CONDEMNED).display()
            ));
        }
        inspection.verdict = inspection.judge();
        Ok(inspection)
    }

    fn look_at_state(&mut self, dir: &Path, read: &mut dyn FnMut(u64)) {
        // RocksDB makes a folder that it does not find, even to read it.
        let what = if !dir.exists() {
            "there is none".to_owned()
        } else if !dir.join("CURRENT").exists() {
            "the file CURRENT is missing".to_owned()
        } else {
            match RocksTables::open_to_look(dir) {
                Ok(tables) => return self.look_at_tables(&tables, read),
                Err(error) => error.to_string(),
            }
        };
        self.state.faults.push(what);
    }

    fn look_at_tables(&mut self, tables: &RocksTables, read: &mut dyn FnMut(u64)) {
        self.state = StateFindings::gather(tables, read);
        if let Ok(why) = fs::read_to_string(self.dir.join(CONDEMNED)) {
            let fault = format!("the node has decided to fetch it again: {why}");
            self.state.faults.push(fault);
        }
        if let Err(error) = self.look_at_marks(tables) {
            self.state.faults.push(error.to_string());
        }
    }

    fn look_at_marks(&mut self, tables: &RocksTables) -> Result<(), TablesError> {
        self.installed = installed(tables)?;
        self.owner = owner(tables)?;
        if let Some(expected) = &self.journal.identity
            && let Some(what) = foreign(tables, expected)?
        {
            self.foreign = true;
            self.state
                .faults
                .push(format!("it belongs to another node than the journal: {what}"));
        }
        Ok(())
    }

    /// Whether journal and state fit together.
    fn compare(&mut self) {
        let journal = &mut self.journal;
        if journal.identity.is_none() {
            return;
        }
        // What a state that is sound says was durable in the journal once (A6).
        let (applied, installed) = match self.state.progress {
            Some(progress) if self.state.faults.is_empty() => (progress.applied, self.installed),
            _ => (Slot::ZERO, Slot::ZERO),
        };
        let base = journal.trimmed.max(installed);
        let (due, reached) = (journal.chosen.max(applied), journal.reaches(base));
        if reached < due && journal.faults.is_empty() {
            journal.faults.push(format!(
                "slot {} is missing, although every slot from {} to {due} was recorded as chosen or applied",
                reached.next(),
                base.next(),
            ));
        }
        if let Some(progress) = self.state.progress
            && progress.applied < journal.trimmed
        {
            self.state.faults.push(format!(
                "it has applied only up to slot {}, but the journal begins behind slot {}",
                progress.applied, journal.trimmed
            ));
        }
    }

    fn judge(&self) -> Verdict {
        if self.journal.newer || self.state.newer {
            Verdict::NewerBuild
        } else if !self.journal.faults.is_empty() {
            Verdict::MustNotVote
        } else if !self.state.faults.is_empty() {
            Verdict::FetchState
        } else {
            Verdict::Healthy
        }
    }
}

/// Holds the lock of a RocksDB folder like a reader, so that a node that runs is noticed and none starts. The lock is the
/// process's, and goes with the file.
pub(crate) fn hold(dir: &Path, folder: &Path) -> Result<Option<File>, InspectError> {
    let path = folder.join("LOCK");
    let unreadable = |error: std::io::Error| InspectError::Unreadable {
        path: path.clone(),
        reason: error.to_string(),
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(file)),
        Err(error) if error == rustix::io::Errno::AGAIN || error == rustix::io::Errno::ACCESS => {
            Err(InspectError::InUse {
                dir: dir.to_owned(),
                holder: journal::holder(&path),
            })
        }
        Err(error) => Err(unreadable(error.into())),
    }
}

/// How often `looked` hears of it: once in so many bytes.
const STRIDE: u64 = 8 << 20;

fn counter<'l>(part: &'static str, of: u64, looked: &'l mut dyn FnMut(Looked)) -> impl FnMut(u64) + use<'l> {
    let (mut bytes, mut told) = (0, 0);
    looked(Looked { part, bytes, of });
    move |read| {
        bytes += read;
        if bytes - told >= STRIDE {
            told = bytes;
            looked(Looked { part, bytes, of });
        }
    }
}

fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>, InspectError> {
    let unreadable = |error: std::io::Error| InspectError::Unreadable {
        path: dir.to_owned(),
        reason: error.to_string(),
    };
    match fs::read_dir(dir) {
        Ok(entries) => entries.collect::<Result<_, _>>().map_err(unreadable),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(unreadable(error)),
    }
}

/// Bytes of all files in a folder; none if it does not exist.
fn size(dir: &Path) -> Result<u64, InspectError> {
    let mut bytes = 0;
    for entry in entries(dir)? {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += size(&entry.path())?,
            Ok(metadata) => bytes += metadata.len(),
            Err(error) => {
                return Err(InspectError::Unreadable {
                    path: entry.path(),
                    reason: error.to_string(),
                });
            }
        }
    }
    Ok(bytes)
}

fn free(dir: &Path) -> Result<u64, InspectError> {
    match rustix::fs::statvfs(dir) {
        Ok(disk) => Ok(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => Err(InspectError::Unreadable {
            path: dir.to_owned(),
            reason: error.to_string(),
        }),
    }
}

fn leftovers(dir: &Path) -> Result<Vec<Leftover>, InspectError> {
    let mut leftovers: Vec<Leftover> = entries(dir)?
        .into_iter()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "journal" && name != "state")
        .map(|name| {
            let what = if name == "incoming" {
                "a snapshot that was being fetched; the next start installs it if it is complete, and removes it otherwise"
            } else if name == MAKING {
                "where the folder was made; the next start removes it"
            } else if name == CONDEMNED {
                "says that the state is to be fetched again at the next start"
            } else if name == JOURNAL_CONDEMNED {
                "says what was found in the journal while the node ran"
            } else if name.starts_with("state") {
                "a state that was set aside; remove it when nobody needs it to find out what happened"
            } else {
                "no part of a data folder"
            };
            Leftover { name, what }
        })
        .collect();
    leftovers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(leftovers)
}
