//! How a data folder comes into being: all of it or nothing, whenever the process dies or the power fails.
//!
//! ```text
//! making/{state,journal}   anything: a node never ran on it, so it is removed and made again
//! state                    got its name
//! journal                  got its name: from here on the folder is a node's
//! ```
//!
//! `making` is removed durably before anybody opens the store. So a folder that has it and has no journal was never used; one
//! that has neither lost its journal, which is another matter altogether (A6). Everything happens within the folder, because
//! that may be a disk of its own.

use std::fs;
use std::path::{Path, PathBuf};

use super::{StoreError, incoming_dir, journal_dir, put_owner, state_dir};
use crate::journal::{Identity, Journal};
use crate::snapshot::rocks::{remove, sync};
use crate::step::{Step, reached};
use crate::tables::{RocksTables, StateSettings, Tables};

/// What there is in a folder that is to be a data folder.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// Nothing, or not even a folder.
    Nothing,
    /// A data folder whose making was interrupted; no node ever ran on it.
    HalfMade,
    /// Something that [`Store::open`](super::Store::open) should be asked to open.
    Something,
}

/// Where a data folder is made.
fn making_dir(dir: &Path) -> PathBuf {
    dir.join(MAKING)
}

/// Its name.
pub(crate) const MAKING: &str = "making";

pub(super) fn found(dir: &Path) -> Found {
    if !fs::read_dir(dir).is_ok_and(|mut files| files.next().is_some()) {
        Found::Nothing
    } else if making_dir(dir).exists() && !journal_dir(dir).exists() {
        Found::HalfMade
    } else {
        Found::Something
    }
}

/// Makes a store in `dir`, in which there is nothing or a half-made one. It is empty, or begins with what `stage` stages.
pub(super) fn make(
    dir: &Path,
    identity: &Identity,
    stage: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<(), StoreError> {
    let folder = |error: std::io::Error| StoreError::Folder {
        dir: dir.to_owned(),
        reason: error.to_string(),
    };
    create(dir).map_err(folder)?;
    match found(dir) {
        Found::Nothing => {}
        Found::HalfMade => {
            remove(&state_dir(dir)).map_err(folder)?;
            remove(&making_dir(dir)).map_err(folder)?;
        }
        Found::Something => return Err(StoreError::NotEmpty { dir: dir.to_owned() }),
    }
    let making = making_dir(dir);
    let named = |part: fn(&Path) -> PathBuf| fs::rename(part(&making), part(dir)).and_then(|()| sync(dir));
    fs::create_dir(&making).and_then(|()| sync(dir)).map_err(folder)?;
    if let Err(error) = build(&making, identity, stage) {
        // As it was; or half-made, which is as good.
        let _ = remove(&making);
        return Err(error);
    }
    sync(&making).map_err(folder)?;
    reached(Step::Made);
    named(state_dir).map_err(folder)?;
    reached(Step::StateNamed);
    named(journal_dir).map_err(folder)?;
    reached(Step::JournalNamed);
    finish(dir).map_err(folder)
}

/// Makes a folder and those that it lies in, durably.
fn create(dir: &Path) -> std::io::Result<()> {
    let missing = dir.ancestors().take_while(|place| !place.exists()).count();
    fs::create_dir_all(dir)?;
    for place in dir.ancestors().take(missing) {
        let parent = place.parent().filter(|parent| *parent != Path::new(""));
        sync(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

fn build(
    making: &Path,
    identity: &Identity,
    stage: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<(), StoreError> {
    stage(making).map_err(StoreError::Staging)?;
    let staged = incoming_dir(making).join("state");
    if staged.exists() {
        let folder = |error: std::io::Error| StoreError::Folder {
            dir: making.to_owned(),
            reason: error.to_string(),
        };
        fs::rename(&staged, state_dir(making)).map_err(folder)?;
        remove(&incoming_dir(making)).map_err(folder)?;
    } else {
        build_empty(making, identity)?;
    }
    Ok(Journal::create(&journal_dir(making), identity)?)
}

fn build_empty(making: &Path, identity: &Identity) -> Result<(), StoreError> {
    let tables = RocksTables::open(&state_dir(making), true, StateSettings::default())?;
    let mut batch = tables.batch(128);
    put_owner(&mut batch, identity);
    tables.write(batch)?;
    tables.flush()?;
    Ok(())
}

/// Removes what is left of the making of a folder that is complete.
pub(super) fn finish(dir: &Path) -> std::io::Result<()> {
    let making = making_dir(dir);
    if !making.exists() {
        return Ok(());
    }
    remove(&making)?;
    sync(dir)
}
