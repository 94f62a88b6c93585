//! Which state a node starts with: the one it had, one that it fetched, or an empty one.
//!
//! A state can be derived from what was chosen; promises cannot. So beside a whole journal a state that is missing or
//! damaged is no reason to stay away: it is set aside, kept, and fetched again from a peer (C3). And a fetched state takes
//! its place only here, when the node starts, so that the way after a crash and the usual way are one.
//!
//! ```text
//! staging   DIR/incoming/{rows,building}   anything; removed at the next start
//! verified  DIR/incoming/state             whole, closed, synced: it got this name by one rename
//! here      incoming/state ⇄ state         one atomic exchange, synced; then incoming/ is removed
//! ```
//!
//! A crash before the exchange leaves the old state, one after it the new; whichever is in `incoming/` at the next start is
//! installed if it is newer and removed if it is not.

use std::fs;
use std::path::{Path, PathBuf};

use paxos::Slot;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tracing::{info, warn};

use super::{StoreError, foreign, incoming_dir, put_owner, state_dir};
use crate::journal::{Identity, Journal};
use crate::machine::Progress;
use crate::snapshot::installed;
use crate::snapshot::rocks::{remove, sync};
use crate::step::{Step, reached};
use crate::tables::{RocksTables, StateSettings, Tables, TablesError};

/// A file in the data folder that says why the state is to be fetched again at the next start.
pub(crate) const CONDEMNED: &str = "state.condemned";

/// Where a state is kept that is of no use any more.
const ASIDE: &str = "state.damaged";

/// What a state folder turned out to be.
enum Found {
    Whole(RocksTables, Progress),
    Useless(String),
}

/// Opens the state that the node starts with, beside this journal.
pub(super) fn open(
    dir: &Path,
    expected: &Identity,
    settings: StateSettings,
    journal: &Journal,
) -> Result<RocksTables, StoreError> {
    let mut found = look(dir, &state_dir(dir), expected, settings)?;
    if let Some(slot) = fetched(dir, expected, settings, journal.trimmed()?, &found)? {
        if let Found::Whole(tables, progress) = &found {
            // A6: the present state knows how far the journal must reach, and is about to go.
            journal.recover_beside(progress.applied, installed(tables)?)?;
        }
        drop(found);
        exchange(dir).map_err(|error| folder(dir, &error))?;
        info!(%slot, "a peer's state is installed");
        found = look(dir, &state_dir(dir), expected, settings)?;
    }
    remove(&incoming_dir(dir)).map_err(|error| folder(dir, &error))?;
    match found {
        Found::Whole(tables, _) => Ok(tables),
        Found::Useless(why) => anew(dir, expected, settings, &why),
    }
}

/// Has the state fetched again from a peer at the next start.
///
/// # Errors
/// What the system says.
pub(super) fn condemn(dir: &Path, why: &str) -> std::io::Result<()> {
    write_down(dir, CONDEMNED, why)
}

/// Puts a sentence into a file of the data folder, durably.
pub(super) fn write_down(dir: &Path, name: &str, sentence: &str) -> std::io::Result<()> {
    let file = dir.join(name);
    fs::write(&file, sentence)?;
    sync(&file)?;
    sync(dir)
}

/// Opens the state in `place`, if it is one and this node's.
fn look(dir: &Path, place: &Path, expected: &Identity, settings: StateSettings) -> Result<Found, StoreError> {
    if place == state_dir(dir)
        && let Ok(why) = fs::read_to_string(dir.join(CONDEMNED))
    {
        return Ok(Found::Useless(why));
    }
    if !place.exists() {
        return Ok(Found::Useless("it is missing".to_owned()));
    }
    let opened = RocksTables::open(place, false, settings).and_then(|tables| {
        let owner = foreign(&tables, expected)?;
        Ok((Progress::load(&tables)?, owner, tables))
    });
    match opened {
        Ok((progress, None, tables)) => Ok(Found::Whole(tables, progress)),
        Ok((_, Some(what), _)) => Err(StoreError::Foreign {
            dir: place.to_owned(),
            what,
        }),
        Err(TablesError::Damaged { what }) => Ok(Found::Useless(what)),
        Err(error) => Err(error.into()),
    }
}

/// The slot of the state that was fetched, if it is to be installed in the place of `present`.
fn fetched(
    dir: &Path,
    expected: &Identity,
    settings: StateSettings,
    trimmed: Slot,
    present: &Found,
) -> Result<Option<Slot>, StoreError> {
    let place = incoming_dir(dir).join("state");
    if !place.exists() {
        return Ok(None);
    }
    let (slot, applied) = match look(dir, &place, expected, settings) {
        Ok(Found::Whole(tables, progress)) => (installed(&tables)?, progress.applied),
        // What an exchange put there may be anything.
        Ok(Found::Useless(_)) | Err(StoreError::Foreign { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let newer = match present {
        Found::Whole(_, progress) => slot > progress.applied,
        Found::Useless(_) => true,
    };
    // Nothing was applied to it yet, so a state that an exchange put there is not taken for one that was fetched; and the
    // journal must reach back to it.
    Ok((slot == applied && slot >= trimmed && newer).then_some(slot))
}

/// The fetched state takes the place of the present one, atomically and durably.
fn exchange(dir: &Path) -> std::io::Result<()> {
    let (fetched, present) = (incoming_dir(dir).join("state"), state_dir(dir));
    reached(Step::Exchange);
    if present.exists() {
        renameat_with(CWD, &fetched, CWD, &present, RenameFlags::EXCHANGE)?;
    } else {
        fs::rename(&fetched, &present)?;
    }
    reached(Step::Exchanged);
    // What was said against the old state was not said against this one.
    remove_file(&dir.join(CONDEMNED))?;
    sync(&incoming_dir(dir))?;
    sync(dir)?;
    reached(Step::Installed);
    Ok(())
}

/// Sets what is there aside, and makes an empty state.
fn anew(dir: &Path, expected: &Identity, settings: StateSettings, why: &str) -> Result<RocksTables, StoreError> {
    let present = state_dir(dir);
    let kept = set_aside(dir).map_err(|error| folder(dir, &error))?;
    match kept {
        Some(kept) => warn!(
            reason = why, kept = %kept.display(),
            "the state machine's state cannot be used; the journal is whole, so this node goes on and fetches the state again"
        ),
        None => warn!(
            reason = why,
            "there is no state beside the journal; the journal is whole, so this node goes on and fetches the state again"
        ),
    }
    let tables = RocksTables::open(&present, true, settings)?;
    let mut batch = tables.batch(128);
    put_owner(&mut batch, expected);
    tables.write(batch)?;
    tables.flush()?;
    remove_file(&dir.join(CONDEMNED)).map_err(|error| folder(dir, &error))?;
    sync(dir).map_err(|error| folder(dir, &error))?;
    Ok(tables)
}

/// Renames the state; of states that were set aside, the last one is kept.
fn set_aside(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    let (present, kept) = (state_dir(dir), dir.join(ASIDE));
    if !present.exists() {
        return Ok(None);
    }
    remove(&kept)?;
    fs::rename(&present, &kept)?;
    sync(dir)?;
    Ok(Some(kept))
}

fn remove_file(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn folder(dir: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Folder {
        dir: dir.to_owned(),
        reason: error.to_string(),
    }
}
