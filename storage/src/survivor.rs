//! A disk that is left of a cluster which lost too many others: all of it is read, nothing on it is changed.
//!
//! What it gives out is evidence. Which value of a slot is taken for chosen, and what is said of the rest, is not decided
//! here.

use std::fs::File;
use std::path::{Path, PathBuf};

use paxos::{Ballot, Configurations, Logged, Slot};
use thiserror::Error;

use crate::inspect::{InspectError, Inspection, Looked, Verdict, hold};
use crate::journal::{Identity, JournalView};
use crate::machine::governance;
use crate::snapshot::Source;
use crate::snapshot::{Origin, PIECE_BYTES};
use crate::store::{journal_dir, state_dir};
use crate::tables::{FrozenRocks, RocksTables, Tables as _, TablesError};

/// A data folder that no node has open, for as long as this lives.
pub struct Survivor {
    identity: Identity,
    inspection: Inspection,
    journal: JournalView,
    state: Option<RocksTables>,
    _locks: [Option<File>; 2],
}

/// A data folder gives no evidence.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SurvivorError {
    /// It cannot be looked at.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// A newer build wrote it.
    #[error("{} was written by a newer build, which must do this", dir.display())]
    Newer {
        /// The folder.
        dir: PathBuf,
    },
    /// Its journal is in such a state that nothing can be read from it.
    #[error("the journal in {} says nothing any more: {what}. Leave this folder out", dir.display())]
    Silent {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl Survivor {
    /// Reads all of the data folder `dir`. `looked` hears now and then how far it is.
    ///
    /// # Errors
    /// [`SurvivorError`].
    pub fn open(dir: &Path, looked: &mut dyn FnMut(Looked)) -> Result<Survivor, SurvivorError> {
        let inspection = Inspection::of(dir, looked)?;
        if inspection.verdict == Verdict::NewerBuild {
            return Err(SurvivorError::Newer { dir: dir.to_owned() });
        }
        let silent = |what: String| SurvivorError::Silent {
            dir: dir.to_owned(),
            what,
        };
        let Some(identity) = inspection.journal.identity.clone() else {
            return Err(silent(inspection.journal.faults.join("; ")));
        };
        let (journal, state) = (journal_dir(dir), state_dir(dir));
        let locks = [hold(dir, &journal)?, hold(dir, &state)?];
        let state = match &inspection.state {
            whole if whole.faults.is_empty() && whole.progress.is_some() => {
                Some(RocksTables::open_to_look(&state).map_err(|error| silent(error.to_string()))?)
            }
            _ => None,
        };
        Ok(Survivor {
            identity,
            journal: JournalView::open(&journal).map_err(|error| silent(error.to_string()))?,
            inspection,
            state,
            _locks: locks,
        })
    }

    /// Whose disk it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What was found on it.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// The highest ballot that the node promised, as far as its journal knows.
    #[must_use]
    pub fn promised(&self) -> Ballot {
        self.inspection.journal.promised
    }

    /// Every slot up to here was applied to the state that is there; 0 if there is none that is whole.
    #[must_use]
    pub fn applied(&self) -> Slot {
        match (&self.state, self.inspection.state.progress) {
            (Some(_), Some(progress)) => progress.applied,
            _ => Slot::ZERO,
        }
    }

    /// Every slot up to here is known to be chosen, and what the journal holds of them are the chosen values.
    #[must_use]
    pub fn chosen(&self) -> Slot {
        self.inspection.journal.chosen.max(self.applied())
    }

    /// The highest slot of which the disk knows anything.
    #[must_use]
    pub fn last(&self) -> Slot {
        self.inspection.journal.last.max(self.chosen())
    }

    /// The later of the configurations that the journal and the state know to govern the log (R2); nothing if they know of no
    /// change.
    ///
    /// # Errors
    /// [`TablesError`] if the state cannot be read after all.
    pub fn configurations(&self) -> Result<Option<Configurations>, TablesError> {
        let state = self.state.as_ref().map(|state| governance::frozen(&state.freeze()));
        let known = [self.journal.configurations(), state.transpose()?.flatten()];
        Ok(known.into_iter().flatten().reduce(Configurations::newer))
    }

    /// Whether nothing of the journal is missing or damaged, so that the node would have been allowed to vote (A6).
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.inspection.journal.faults.is_empty()
    }

    /// What the journal holds of a slot, if that can be read.
    #[must_use]
    pub fn entry(&self, slot: Slot) -> Option<Logged> {
        self.journal.entry(slot)
    }

    /// The state, to be copied piece by piece; none if there is none that is whole.
    ///
    /// # Errors
    /// [`TablesError`] if it cannot be read after all.
    pub fn source(&self, origin: Origin) -> Result<Option<Source<FrozenRocks<'_>>>, TablesError> {
        let Some(state) = &self.state else {
            return Ok(None);
        };
        Source::new(state.freeze(), origin, state.rows(), PIECE_BYTES).map(Some)
    }
}
