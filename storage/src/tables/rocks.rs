//! Tables in RocksDB, without its write-ahead log.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, CompactOptions, DB, DBCompressionType, DBRawIterator,
    FlushOptions, IngestExternalFileOptions, Options, ReadOptions, SliceTransform, Snapshot, WriteBatch, WriteOptions,
};

use super::{Finder, Frozen, SUFFIX, Step, TableBatch, Tables, TablesError};
use crate::{background, manifest};

/// How much memory the state's tables take.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct StateSettings {
    /// Bytes written before they go to a file; up to three times as much is held while files are written.
    pub memtable_bytes: usize,
    /// Bytes of blocks, indexes and filters kept in memory.
    pub block_cache_bytes: usize,
}

impl Default for StateSettings {
    fn default() -> StateSettings {
        StateSettings {
            memtable_bytes: 64 << 20,
            block_cache_bytes: 64 << 20,
        }
    }
}

/// Entries in a row of which half are removals make a file worth compacting.
const REMOVALS_WINDOW: usize = 1024;

/// How far ahead a frozen state is read.
const READ_AHEAD: usize = 1 << 20;

/// Tables in a RocksDB folder: one column family, no write-ahead log.
///
/// A batch goes whole into one memtable, and memtables reach the disk in order; so what is found after a crash is the
/// state after some batch, never a part of one.
pub struct RocksTables {
    db: DB,
    place: PathBuf,
    unlogged: WriteOptions,
    interrupted: AtomicBool,
}

impl RocksTables {
    /// Opens the tables in `dir`, and makes them first if `create`.
    ///
    /// # Errors
    /// [`TablesError::Damaged`] if files are missing or not what was written, [`TablesError::Engine`] for all else that
    /// RocksDB says; for example that the folder is in use.
    pub fn open(dir: &Path, create: bool, settings: StateSettings) -> Result<RocksTables, TablesError> {
        if !create {
            sound_manifest(dir)?;
        }
        let mut options = options(settings);
        options.create_if_missing(create);
        options.set_error_if_exists(create);
        let db = DB::open(&options, dir).map_err(|error| refusal(dir, &error))?;
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        Ok(RocksTables {
            db,
            place: dir.to_owned(),
            unlogged,
            interrupted: AtomicBool::new(false),
        })
    }

    /// Opens the tables in `dir` for reading only; nothing in the folder is changed.
    pub(crate) fn open_to_look(dir: &Path) -> Result<RocksTables, TablesError> {
        sound_manifest(dir)?;
        let options = options(StateSettings::default());
        let db = DB::open_for_read_only(&options, dir, false).map_err(|error| failed(dir, "opened", &error))?;
        Ok(RocksTables {
            db,
            place: dir.to_owned(),
            unlogged: WriteOptions::default(),
            interrupted: AtomicBool::new(false),
        })
    }

    /// A cursor that finds its way only within the group that it is sent to, as the tables are now.
    fn group_cursor(&self) -> DBRawIterator<'_> {
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        self.db.raw_iterator_opt(options)
    }

    fn first_with(
        &self,
        cursor: &mut DBRawIterator<'_>,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), TablesError> {
        cursor.seek(from);
        match cursor.item() {
            Some((key, value)) => {
                if key.len() == from.len() && group(key) == group(from) {
                    visit(key, value);
                }
                Ok(())
            }
            None => cursor.status().map_err(|error| self.failed("read", &error)),
        }
    }

    /// Takes files of sorted rows over as they are; they are gone from where they were. The rows of all files are in
    /// ascending order, so there is nothing to compact.
    ///
    /// # Errors
    /// [`TablesError`]; how much was taken is then unknown.
    pub(crate) fn ingest(&self, files: &[PathBuf]) -> Result<(), TablesError> {
        if files.is_empty() {
            return Ok(());
        }
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.db
            .ingest_external_file_opts(&options, files.to_vec())
            .map_err(|error| self.failed("filled", &error))
    }

    fn failed(&self, verb: &'static str, error: &rocksdb::Error) -> TablesError {
        failed(&self.place, verb, error)
    }

    /// Shows the keys from `from` on and before `to` with the cursor that `open` makes, as `visit` directs.
    fn walk<'c>(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
        open: impl FnOnce(ReadOptions) -> DBRawIterator<'c>,
    ) -> Result<(), TablesError> {
        if to.is_some_and(|to| from >= to) {
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        let mut cursor = open(options);
        cursor.seek(from);
        while let Some((key, value)) = cursor.item() {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(TablesError::Closing);
            }
            match visit(key, value) {
                Step::Next => cursor.next(),
                Step::Seek(target) => {
                    assert!(
                        target.as_slice() > key,
                        "a scan goes forward: to {target:?} from {key:?}"
                    );
                    cursor.seek(target);
                }
                Step::Stop => return Ok(()),
            }
        }
        cursor.status().map_err(|error| self.failed("read", &error))
    }

    /// A5: whether a write counts, for all that RocksDB's own threads have done.
    fn settled(&self) -> Result<(), TablesError> {
        let sound = self.sound();
        if sound.is_err() {
            // If RocksDB has not got over it, it answers every write with the reason, be there anything to write or not.
            self.db
                .write_opt(WriteBatch::default(), &self.unlogged)
                .map_err(|error| self.failed("written", &error))?;
        }
        sound
    }

    fn property(&self, name: &str) -> u64 {
        self.db.property_int_value(name).ok().flatten().unwrap_or(0)
    }
}

/// Refuses tables over whose `MANIFEST` RocksDB might never come to an end.
fn sound_manifest(place: &Path) -> Result<(), TablesError> {
    manifest::check(place).map_err(|fault| match fault {
        manifest::Fault::Damaged(what) => TablesError::Damaged {
            what: format!("{}: {what}", place.display()),
        },
        manifest::Fault::Unreadable(error) => TablesError::Engine {
            place: place.display().to_string(),
            verb: "opened",
            reason: error.to_string(),
        },
    })
}

/// Why tables do not open, sorted into what reading them again would not mend, and all else.
fn refusal(place: &Path, error: &rocksdb::Error) -> TablesError {
    let reason = error.to_string();
    let gone = reason.contains("No such file") || reason.contains("does not exist");
    match error.kind() {
        rocksdb::ErrorKind::Corruption => TablesError::Damaged { what: reason },
        rocksdb::ErrorKind::IOError | rocksdb::ErrorKind::InvalidArgument if gone => {
            TablesError::Damaged { what: reason }
        }
        _ => failed(place, "opened", error),
    }
}

pub(crate) fn failed(place: &Path, verb: &'static str, error: &rocksdb::Error) -> TablesError {
    if error.kind() == rocksdb::ErrorKind::Corruption {
        return TablesError::Damaged {
            what: format!("{} cannot be {verb}: {error}", place.display()),
        };
    }
    TablesError::Engine {
        place: place.display().to_string(),
        verb,
        reason: error.to_string(),
    }
}

/// What comes before the version: the filters know groups, so a key that does not exist is not looked for on disk.
fn group(key: &[u8]) -> &[u8] {
    &key[..key.len() - SUFFIX]
}

fn has_group(key: &[u8]) -> bool {
    key.len() > SUFFIX
}

pub(crate) fn options(settings: StateSettings) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_bloom_filter(10.0, false);
    blocks.set_whole_key_filtering(false);
    blocks.set_format_version(6);
    blocks.set_block_cache(&Cache::new_lru_cache(settings.block_cache_bytes));
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);

    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_prefix_extractor(SliceTransform::create("synod.group", group, Some(has_group)));
    options.set_memtable_prefix_bloom_ratio(0.05);
    options.set_write_buffer_size(settings.memtable_bytes);
    options.set_max_write_buffer_number(3);
    // The janitor flushes before memtables are full; so there are more files, and each compaction takes more of them.
    options.set_level_zero_file_num_compaction_trigger(8);
    // Sweeps leave files that are mostly removals; such a file is compacted even if its level is not full.
    options.add_compact_on_deletion_collector_factory(REMOVALS_WINDOW, REMOVALS_WINDOW / 2, 0.25);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1 << 20);
    // The applier writes nearly all, so inserting side by side would gain nothing.
    options.set_allow_concurrent_memtable_write(false);
    options.set_keep_log_file_num(5);
    options.set_max_manifest_file_size(16 << 20);
    options.set_stats_dump_period_sec(0);
    options
}

/// A state of [`RocksTables`] that RocksDB keeps until this is dropped.
pub struct FrozenRocks<'t> {
    snapshot: Snapshot<'t>,
    tables: &'t RocksTables,
}

impl Frozen for FrozenRocks<'_> {
    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), TablesError> {
        self.tables.walk(from, to, visit, |mut options| {
            // What clients read stays in the cache, and the disk is read in large pieces.
            options.fill_cache(false);
            options.set_readahead_size(READ_AHEAD);
            self.snapshot.raw_iterator_opt(options)
        })
    }
}

impl Tables for RocksTables {
    type Batch = WriteBatch;
    type Frozen<'t> = FrozenRocks<'t>;

    fn batch(&self, bytes: usize) -> WriteBatch {
        WriteBatch::with_capacity_bytes(bytes)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError> {
        self.db.get(key).map_err(|error| self.failed("read", &error))
    }

    fn first_in_group(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), TablesError> {
        self.first_with(&mut self.group_cursor(), from, visit)
    }

    /// Making a cursor costs more than moving it.
    fn finder(&self) -> Finder<'_> {
        let mut cursor = None;
        Box::new(move |from, visit| {
            let cursor = cursor.get_or_insert_with(|| self.group_cursor());
            self.first_with(cursor, from, visit)
        })
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), TablesError> {
        self.walk(from, to, visit, |options| self.db.raw_iterator_opt(options))
    }

    fn scan_through(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Step,
    ) -> Result<(), TablesError> {
        self.walk(from, to, visit, |mut options| {
            options.fill_cache(false);
            self.db.raw_iterator_opt(options)
        })
    }

    fn freeze(&self) -> FrozenRocks<'_> {
        FrozenRocks {
            snapshot: self.db.snapshot(),
            tables: self,
        }
    }

    fn write(&self, batch: WriteBatch) -> Result<(), TablesError> {
        self.db
            .write_opt(batch, &self.unlogged)
            .map_err(|error| self.failed("written", &error))?;
        self.settled()
    }

    fn flush(&self) -> Result<(), TablesError> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db
            .flush_opt(&options)
            .map_err(|error| self.failed("flushed", &error))?;
        self.settled()
    }

    fn reclaim(&self) -> Result<(), TablesError> {
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        let all: Option<&[u8]> = None;
        // It says nothing about how it went.
        self.db.compact_range_opt(all, all, &options);
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(TablesError::Closing);
        }
        self.settled()
    }

    fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        // A compaction that somebody waits for ends by this; it waits for none.
        self.db.cancel_all_background_work(false);
    }

    fn sound(&self) -> Result<(), TablesError> {
        background::sound(&self.db).map_err(|reason| TablesError::Engine {
            place: self.place.display().to_string(),
            verb: "written",
            reason,
        })
    }

    fn size(&self) -> u64 {
        self.property("rocksdb.total-sst-files-size") + self.property("rocksdb.cur-size-all-mem-tables")
    }

    fn live_size(&self) -> u64 {
        let live = self.property("rocksdb.estimate-live-data-size") + self.property("rocksdb.cur-size-all-mem-tables");
        live.min(self.size())
    }

    fn rows(&self) -> u64 {
        self.property("rocksdb.estimate-num-keys")
    }
}

impl TableBatch for WriteBatch {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        WriteBatch::put(self, key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        WriteBatch::delete(self, key);
    }
}
