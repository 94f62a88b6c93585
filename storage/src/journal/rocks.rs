//! RocksDB as the journal's engine.
//!
//! One column family. `log/` and the slot as a big-endian number hold the entries, five keys the rest. Every commit is
//! one synced write batch, and is then noted in the synced mark.
//!
//! Of RocksDB's ways to recover its log, the default (a point in time) drops everything behind the first bad record without a
//! word, and skipping bad records loses them one by one: both forget promises. Absolute consistency refuses every log that a
//! crash cut off, which is an ordinary thing. What is left, to tolerate a damaged tail, also takes a bad length within the
//! last block for an end. So this is the mode, and before RocksDB sees a file it is checked here that what it will drop is an
//! end (`tail`), and that the end is not too early (`synced`). The file that says which sorted files there are is checked as well, so
//! that reading it comes to an end (`manifest`). A damaged journal is thereby left as it is.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;

use paxos::{Ballot, Configurations, Slot};
use quorum::NodeId;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::engine::{Changes, Engine, Marks};
use super::error::OpenError;
use super::identity::{FORMAT, Format, Found, Identity};
use super::synced::{self, SyncedMark};
use super::{JournalSettings, tail};
use crate::{background, manifest};

const LOG: &[u8; 4] = b"log/";
/// Behind every entry.
const LOG_END: &[u8; 4] = b"log0";
const IDENTITY: &[u8] = b"identity";
const PROMISED: &[u8] = b"promised";
const CHOSEN: &[u8] = b"chosen";
const TRIMMED: &[u8] = b"trimmed";
const CONFIGURATIONS: &[u8] = b"configurations";
const PROCESS: &[u8] = b"process";

pub(super) struct RocksEngine {
    db: DB,
    synced: WriteOptions,
    /// Locked by the journal's thread only.
    mark: Mutex<SyncedMark>,
}

impl RocksEngine {
    pub(super) fn create(dir: &Path, identity: &Identity) -> Result<(), OpenError> {
        let failed = |reason: String| OpenError::Engine {
            dir: dir.to_owned(),
            reason,
        };
        fs::create_dir_all(dir).map_err(|error| failed(error.to_string()))?;
        if fs::read_dir(dir)
            .map_err(|error| failed(error.to_string()))?
            .next()
            .is_some()
        {
            return Err(OpenError::NotEmpty { dir: dir.to_owned() });
        }
        let mut options = options(JournalSettings::default());
        options.create_if_missing(true);
        options.set_error_if_exists(true);
        let db = DB::open(&options, dir).map_err(|error| refusal(dir, &error))?;
        // Before the identity: a journal with an identity has a mark, whenever the power fails.
        SyncedMark::create(dir, synced::owner(identity), 0).map_err(|error| failed(error.to_string()))?;
        let mut batch = WriteBatch::default();
        batch.put(IDENTITY, identity.to_bytes());
        db.write_opt(batch, &synced())
            .map_err(|error| failed(error.to_string()))?;
        // The identity must not live in a log file only: a journal whose log file is gone still says whose it is.
        db.flush().map_err(|error| failed(error.to_string()))?;
        drop(db);
        if let Some(parent) = dir.canonicalize().ok().as_deref().and_then(Path::parent) {
            File::open(parent)
                .and_then(|parent| parent.sync_all())
                .map_err(|error| failed(error.to_string()))?;
        }
        Ok(())
    }

    pub(super) fn open(dir: &Path, expected: &Identity, settings: JournalSettings) -> Result<RocksEngine, OpenError> {
        present(dir)?;
        if let Some(holder) = holder(&dir.join("LOCK")) {
            return Err(OpenError::Locked {
                dir: dir.to_owned(),
                holder: Some(holder),
            });
        }
        let failed = |error: std::io::Error| OpenError::Engine {
            dir: dir.to_owned(),
            reason: error.to_string(),
        };
        let tail = tail::check(dir)?;
        sound_manifest(dir)?;
        let mark = synced::read(dir).map_err(failed)?;
        let owner = synced::owner(expected);
        let reached =
            matches!(mark, synced::Found::Mark { owner: of, number, .. } if of == owner && number <= tail.last);
        let mut options = options(settings);
        options.create_if_missing(false);
        if !reached {
            // The log files alone do not show it. Look closer, and still change nothing.
            let db = open_to_look(dir)?;
            let format = identify(&db, dir, expected)?;
            judge(dir, format, &mark, owner, db.latest_sequence_number())?;
        }
        let db = DB::open(&options, dir).map_err(|error| refusal(dir, &error))?;
        let format = identify(&db, dir, expected)?;
        let last = db.latest_sequence_number();
        judge(dir, format, &mark, owner, last)?;
        let mark = match mark {
            synced::Found::Mark { number, cell, .. } if format >= Format::SYNCED => {
                SyncedMark::open(dir, owner, number, cell, last)
            }
            _ => SyncedMark::create(dir, owner, last),
        };
        let engine = RocksEngine {
            db,
            synced: synced(),
            mark: Mutex::new(mark.map_err(failed)?),
        };
        if format < Format(FORMAT) {
            engine.upgrade(expected).map_err(|reason| OpenError::Engine {
                dir: dir.to_owned(),
                reason,
            })?;
            tracing::info!(dir = %dir.display(), from = format.0, to = FORMAT, "the journal is in this build's format now");
        }
        Ok(engine)
    }

    /// Says that the journal is in this build's format.
    fn upgrade(&self, identity: &Identity) -> Result<(), String> {
        let mut batch = WriteBatch::default();
        batch.put(IDENTITY, identity.to_bytes());
        self.write(batch)
    }

    /// Makes a batch durable, and then says that it is. A5: that one of the engine's own threads failed is as final.
    fn write(&self, batch: WriteBatch) -> Result<(), String> {
        self.db
            .write_opt(batch, &self.synced)
            .map_err(|error| error.to_string())?;
        background::sound(&self.db)?;
        self.with_mark(|mark| mark.raise(self.db.latest_sequence_number()))
    }

    fn with_mark(&self, change: impl FnOnce(&mut SyncedMark) -> std::io::Result<()>) -> Result<(), String> {
        let mut mark = self
            .mark
            .lock()
            .expect("a thread that panicked with the lock has ended the journal");
        change(&mut mark).map_err(|error| format!("{}: {error}", synced::FILE))
    }
}

impl Engine for RocksEngine {
    fn marks(&self) -> Result<Marks, String> {
        read_marks(&self.db)
    }

    fn scan(&self, from: Slot, to: Slot, visit: &mut dyn FnMut(Slot, &[u8]) -> ControlFlow<()>) -> Result<(), String> {
        scan_entries(&self.db, from, to, visit)
    }

    fn commit(&self, changes: &Changes) -> Result<(), String> {
        let bytes = changes.entries.iter().map(|(_, bytes)| bytes.len() + 24).sum::<usize>();
        let mut batch = WriteBatch::with_capacity_bytes(bytes + 128);
        for (slot, bytes) in &changes.entries {
            batch.put(log_key(*slot), bytes);
        }
        if let Some(ballot) = changes.promised {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&ballot.round.to_be_bytes());
            bytes[8..].copy_from_slice(&ballot.leader.0.to_be_bytes());
            batch.put(PROMISED, bytes);
        }
        if let Some(slot) = changes.chosen {
            batch.put(CHOSEN, slot.0.to_be_bytes());
        }
        if let Some(configurations) = &changes.configurations {
            batch.put(CONFIGURATIONS, configurations.encode());
        }
        if let Some(process) = changes.process {
            batch.put(PROCESS, process.to_be_bytes());
        }
        if let Some(slot) = changes.trimmed {
            batch.delete_range(log_key(Slot::ZERO), log_key(slot.next()));
            batch.put(TRIMMED, slot.0.to_be_bytes());
        }
        self.write(batch)
    }

    fn settle(&self, last: bool) -> Result<(), String> {
        self.with_mark(|mark| mark.settle(last))
    }

    /// Drops files that hold nothing but trimmed slots. Dropping a file may bring back older entries of trimmed slots
    /// that it covered; nobody looks below the trimmed mark, and the next call drops them too.
    fn reclaim(&self, to: Slot) -> Result<(), String> {
        self.db
            .delete_file_in_range(log_key(Slot::ZERO), log_key(to))
            .map_err(|error| error.to_string())
    }

    fn size(&self) -> u64 {
        let property = |name: &str| self.db.property_int_value(name).ok().flatten().unwrap_or(0);
        property("rocksdb.total-sst-files-size") + property("rocksdb.cur-size-all-mem-tables")
    }

    fn sound(&self) -> Result<(), String> {
        background::sound(&self.db)
    }
}

pub(super) fn read_marks(db: &DB) -> Result<Marks, String> {
    let promised = match db.get(PROMISED).map_err(|error| error.to_string())? {
        None => Ballot::ZERO,
        Some(bytes) => match bytes.split_first_chunk::<8>() {
            Some((round, leader)) if leader.len() == 8 => Ballot {
                round: u64::from_be_bytes(*round),
                leader: NodeId(leader.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))),
            },
            _ => return Err(format!("\"promised\" holds {bytes:?}, which is not a ballot")),
        },
    };
    let slot = |key| number(db, key).map(|number| Slot(number.unwrap_or(0)));
    Ok(Marks {
        promised,
        chosen: slot(CHOSEN)?,
        trimmed: slot(TRIMMED)?,
        configurations: configurations(db)?,
        process: number(db, PROCESS)?.unwrap_or(0),
    })
}

/// The configurations, whose bytes RocksDB has checked (A6); nothing if there was no change.
fn configurations(db: &DB) -> Result<Option<Configurations>, String> {
    let Some(bytes) = db.get(CONFIGURATIONS).map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let decoded = Configurations::decode(bytes.into());
    decoded
        .map(Some)
        .map_err(|error| format!("\"configurations\": {error}"))
}

fn number(db: &DB, key: &[u8]) -> Result<Option<u64>, String> {
    match db.get(key).map_err(|error| error.to_string())? {
        None => Ok(None),
        Some(bytes) => match bytes.as_slice().try_into() {
            Ok(bytes) => Ok(Some(u64::from_be_bytes(bytes))),
            Err(_) => Err(format!(
                "\"{}\" holds {bytes:?}, which is not a number",
                key.escape_ascii()
            )),
        },
    }
}

pub(super) fn scan_entries(
    db: &DB,
    from: Slot,
    to: Slot,
    visit: &mut dyn FnMut(Slot, &[u8]) -> ControlFlow<()>,
) -> Result<(), String> {
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(LOG_END);
    options.fill_cache(false);
    let mut cursor = db.raw_iterator_opt(options);
    cursor.seek(log_key(from));
    while let Some((key, value)) = cursor.item() {
        let slot = slot_of(key).ok_or_else(|| format!("\"{}\" is not the key of a slot", key.escape_ascii()))?;
        if slot > to || visit(slot, value).is_break() {
            return Ok(());
        }
        cursor.next();
    }
    cursor.status().map_err(|error| error.to_string())
}

/// A6: refuses a journal whose `MANIFEST` is not what was written, over which RocksDB might never come to an end.
fn sound_manifest(dir: &Path) -> Result<(), OpenError> {
    let dir = dir.to_owned();
    manifest::check(&dir).map_err(|fault| match fault {
        manifest::Fault::Damaged(what) => OpenError::Damaged { dir, what },
        manifest::Fault::Unreadable(error) => OpenError::Engine {
            dir,
            reason: error.to_string(),
        },
    })
}

/// Opens a journal to look at it; changes nothing.
pub(super) fn open_to_look(dir: &Path) -> Result<DB, OpenError> {
    sound_manifest(dir)?;
    let options = options(JournalSettings::default());
    DB::open_for_read_only(&options, dir, false).map_err(|error| refusal(dir, &error))
}

/// Whose journal it is, and in which format.
pub(super) fn read_identity(db: &DB, dir: &Path) -> Result<(Identity, Format), OpenError> {
    let identity = db.get(IDENTITY).map_err(|error| refusal(dir, &error))?;
    let dir = dir.to_owned();
    let Some(identity) = identity else {
        return Err(OpenError::Unfinished { dir });
    };
    match Identity::decode(&identity) {
        Found::Identity(found, format) => Ok((found, format)),
        Found::Newer(found) => Err(OpenError::Newer {
            dir,
            found,
            known: FORMAT,
        }),
        Found::Rubbish => {
            let what = format!("{identity:?} is not an identity");
            Err(OpenError::Damaged { dir, what })
        }
    }
}

/// Refuses a folder that is no journal.
pub(super) fn present(dir: &Path) -> Result<(), OpenError> {
    if dir.join("CURRENT").exists() {
        return Ok(());
    }
    // A folder with some other content was a journal once.
    let empty = fs::read_dir(dir).map_or(true, |mut files| files.next().is_none());
    Err(if empty {
        OpenError::Missing { dir: dir.to_owned() }
    } else {
        OpenError::Damaged {
            dir: dir.to_owned(),
            what: "the file CURRENT is missing".to_owned(),
        }
    })
}

/// Refuses a journal that is not `expected`'s, or in a format that is not known here.
fn identify(db: &DB, dir: &Path, expected: &Identity) -> Result<Format, OpenError> {
    let (found, format) = read_identity(db, dir)?;
    match found.differences(expected) {
        Some(differences) => Err(OpenError::Foreign {
            dir: dir.to_owned(),
            differences,
        }),
        None => Ok(format),
    }
}

/// A6: refuses a journal that ends at change `last` if it was durable beyond that, or if it cannot show how far it was.
pub(super) fn judge(dir: &Path, format: Format, mark: &synced::Found, owner: u32, last: u64) -> Result<(), OpenError> {
    if format < Format::SYNCED {
        return Ok(());
    }
    let file = synced::FILE;
    let what = match mark {
        synced::Found::Mark { owner: of, .. } if *of != owner => {
            format!("the file {file} was copied from another node's journal")
        }
        synced::Found::Mark { number, .. } if *number > last => format!(
            "its end is missing: it was durable up to change {number}, and now ends at change {last}; {} acknowledged \
             changes are gone",
            number - last
        ),
        synced::Found::Mark { .. } => return Ok(()),
        synced::Found::Missing => format!("the file {file} is missing, so it cannot show that its end is there"),
        synced::Found::Unreadable => format!("the file {file} is damaged, so it cannot show that its end is there"),
    };
    Err(OpenError::Damaged {
        dir: dir.to_owned(),
        what,
    })
}

fn log_key(slot: Slot) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(LOG);
    key[4..].copy_from_slice(&slot.0.to_be_bytes());
    key
}

fn slot_of(key: &[u8]) -> Option<Slot> {
    Some(Slot(u64::from_be_bytes(key.strip_prefix(LOG)?.try_into().ok()?)))
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

fn options(settings: JournalSettings) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(8 << 20));
    blocks.set_block_size(64 << 10);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    // A6: the default drops everything behind a bad record in the middle of the log, which forgets promises.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_write_buffer_size(settings.memtable_bytes);
    options.set_max_write_buffer_number(3);
    // What is written here is trimmed soon, mostly before it is compacted.
    options.set_compression_type(DBCompressionType::None);
    options.set_allow_concurrent_memtable_write(false);
    // Without these, the sync of a new log file waits until the whole sorted file of the old one is on the disk.
    options.set_bytes_per_sync(1 << 20);
    options.set_wal_bytes_per_sync(1 << 20);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(5);
    options.set_max_manifest_file_size(16 << 20);
    options.set_stats_dump_period_sec(0);
    options
}

/// RocksDB's words for why it does not open a folder, sorted.
fn refusal(dir: &Path, error: &rocksdb::Error) -> OpenError {
    let reason = error.to_string();
    let dir = dir.to_owned();
    match error.kind() {
        rocksdb::ErrorKind::Corruption => OpenError::Damaged { dir, what: reason },
        rocksdb::ErrorKind::IOError if reason.contains("lock") => OpenError::Locked {
            holder: holder(&dir.join("LOCK")),
            dir,
        },
        _ => OpenError::Engine { dir, reason },
    }
}

/// Which process holds a lock on this file, as far as the system says.
pub(crate) fn holder(file: &Path) -> Option<u32> {
    let file = fs::metadata(file).ok()?;
    let (major, minor) = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    // Numbers of files repeat from one file system to the next.
    let name = format!("{major:02x}:{minor:02x}:{}", file.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let pid = fields.nth(4)?;
        let file = fields.next()?;
        if file == name { pid.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use quorum::Incarnation;

    use super::*;

    #[test]
    fn the_log_files_tell_the_same_last_change_as_the_engine() {
        let dir = tempfile::tempdir().expect("a folder");
        let identity = Identity {
            cluster: "test".to_owned(),
            cluster_id: paxos::ClusterId(1),
            node: NodeId(1),
            incarnation: Incarnation(1),
        };
        RocksEngine::create(dir.path(), &identity).expect("an empty folder");
        // One log file for all, so that none is removed while it is read here.
        let settings = JournalSettings::default();
        let engine = RocksEngine::open(dir.path(), &identity, settings).expect("a fresh journal");
        let mut batches = 0;
        // Lengths that end all over a block, and beyond it; headers of batches fall on borders of blocks.
        for slot in 1..3000 {
            let bytes = vec![7; (slot * 37) % 5000];
            let entries = (0..1 + slot % 3).map(|entry| (Slot((slot * 4 + entry) as u64), bytes.clone()));
            let changes = Changes {
                entries: entries.collect(),
                chosen: Some(Slot(slot as u64)),
                trimmed: (slot % 7 == 0).then_some(Slot(slot as u64)),
                ..Changes::default()
            };
            engine.commit(&changes).expect("a healthy disk");
            batches += 1;
            if slot % 50 == 0 {
                let tail = tail::check(dir.path()).expect("whole log files");
                assert_eq!(tail.last, engine.db.latest_sequence_number(), "slot {slot}");
                assert!(tail.files > 0 && tail.torn == 0 && tail.batches <= batches);
                let synced::Found::Mark { number, .. } = synced::read(dir.path()).expect("the mark") else {
                    panic!("the mark is whole")
                };
                assert_eq!(number, tail.last, "slot {slot}");
            }
        }
    }
}
