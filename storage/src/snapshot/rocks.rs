//! A new state in a RocksDB folder, beside the one in use.
//!
//! Rows come sorted, so they go straight into RocksDB's files of sorted rows, which the new tables then take over whole:
//! every byte is written once, and there is nothing to compact. `DIR/incoming/` holds what is being built; only when all of
//! it is verified, closed and synced it becomes `DIR/incoming/state` by one rename. So a folder of that name is whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use paxos::Slot;
use rocksdb::{Options, SstFileWriter};

use super::header::Summary;
use super::installed;
use super::staging::Sink;
use crate::journal::Identity;
use crate::step::{Step, reached};
use crate::store::{incoming_dir, put_owner};
use crate::tables::rocks::{failed, options};
use crate::tables::{RocksTables, StateSettings, Tables, TablesError};

/// Bytes of one file of rows.
const FILE_BYTES: u64 = 64 << 20;

/// How RocksDB writes the rows; outlives the sinks that use it.
pub struct RocksSinkOptions {
    options: Options,
    settings: StateSettings,
}

impl RocksSinkOptions {
    /// For a state that will be opened with these settings.
    #[must_use]
    pub fn new(settings: StateSettings) -> RocksSinkOptions {
        RocksSinkOptions {
            options: options(settings),
            settings,
        }
    }
}

/// Rows become a state folder of this node, ready to be installed.
pub struct RocksSink<'o> {
    told: &'o RocksSinkOptions,
    owner: Identity,
    /// Rows that are left out.
    without: fn(&[u8]) -> bool,
    /// `DIR/incoming`.
    place: PathBuf,
    files: Vec<PathBuf>,
    writer: Option<SstFileWriter<'o>>,
}

impl<'o> RocksSink<'o> {
    /// Begins afresh in the data folder `dir`: whatever was staged there is removed.
    ///
    /// # Errors
    /// [`TablesError`] if the folder cannot be written.
    pub fn begin(dir: &Path, owner: &Identity, told: &'o RocksSinkOptions) -> Result<RocksSink<'o>, TablesError> {
        let place = incoming_dir(dir);
        remove(&place).map_err(|error| unwritable(&place, &error))?;
        let rows = place.join("rows");
        fs::create_dir_all(&rows).map_err(|error| unwritable(&rows, &error))?;
        Ok(RocksSink {
            told,
            owner: owner.clone(),
            without: |_| false,
            place,
            files: Vec::new(),
            writer: None,
        })
    }

    /// Leaves out the rows whose key is one of these: for a state that does not go to a peer but founds another cluster.
    #[must_use]
    pub fn without(mut self, rows: fn(&[u8]) -> bool) -> RocksSink<'o> {
        self.without = rows;
        self
    }

    fn finish_file(&mut self) -> Result<(), TablesError> {
        if let Some(mut writer) = self.writer.take() {
            writer
                .finish()
                .map_err(|error| failed(&self.place, "written", &error))?;
            reached(Step::RowsWritten);
        }
        Ok(())
    }

    /// The tables, closed, in a folder that does not have its name yet.
    fn build(&mut self, slot: Slot) -> Result<PathBuf, TablesError> {
        self.finish_file()?;
        let building = self.place.join("building");
        let tables = RocksTables::open(&building, true, self.told.settings)?;
        tables.ingest(&self.files)?;
        let mut batch = tables.batch(128);
        put_owner(&mut batch, &self.owner);
        installed::mark(&mut batch, slot);
        tables.write(batch)?;
        tables.flush()?;
        drop(tables);
        reached(Step::Built);
        Ok(building)
    }
}

impl RocksSink<'_> {
    /// Makes what was built durable, and then gives it its name.
    fn name(&self, building: &Path) -> std::io::Result<()> {
        sync_files(building)?;
        fs::remove_dir_all(self.place.join("rows"))?;
        reached(Step::BuiltSynced);
        fs::rename(building, self.place.join("state"))?;
        sync(&self.place)?;
        self.place.parent().map_or(Ok(()), sync)
    }
}

impl Sink for RocksSink<'_> {
    type State = Slot;

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TablesError> {
        if (self.without)(key) {
            return Ok(());
        }
        if self
            .writer
            .as_ref()
            .is_some_and(|writer| writer.file_size() >= FILE_BYTES)
        {
            self.finish_file()?;
        }
        if self.writer.is_none() {
            let path = self.place.join(format!("rows/{:06}.sst", self.files.len()));
            let writer = SstFileWriter::create(&self.told.options);
            writer
                .open(&path)
                .map_err(|error| failed(&self.place, "written", &error))?;
            self.files.push(path);
            self.writer = Some(writer);
        }
        let writer = self.writer.as_mut().expect("it was made");
        writer
            .put(key, value)
            .map_err(|error| failed(&self.place, "written", &error))
    }

    fn finish(mut self, summary: &Summary) -> Result<Slot, TablesError> {
        let slot = summary.header.progress.applied;
        let building = self.build(slot)?;
        self.name(&building).map_err(|error| unwritable(&self.place, &error))?;
        reached(Step::Staged);
        Ok(slot)
    }
}

/// Removes whatever is staged in the data folder `dir`.
///
/// # Errors
/// What the system says.
pub fn discard_staged(dir: &Path) -> std::io::Result<()> {
    remove(&incoming_dir(dir))
}

fn unwritable(place: &Path, error: &std::io::Error) -> TablesError {
    TablesError::Engine {
        place: place.display().to_string(),
        verb: "written",
        reason: error.to_string(),
    }
}

/// Removes a folder with everything in it, if it exists.
pub(crate) fn remove(dir: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Makes a file durable, or what a folder calls its files.
pub(crate) fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a folder of files durable.
fn sync_files(dir: &Path) -> std::io::Result<()> {
    for file in fs::read_dir(dir)? {
        sync(&file?.path())?;
    }
    sync(dir)
}
