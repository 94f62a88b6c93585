//! RocksDB as the journal's engine.
//!
//! One column family. `log/` and the slot as a big-endian number hold the entries, four short keys the rest. Every commit is
//! one synced write batch. RocksDB's own recovery is set to tolerate an incomplete last record and nothing else; the log
//! files are checked before that (`tail`), so that a damaged journal is not touched.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use paxos::{Ballot, Slot};
use quorum::NodeId;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::engine::{Changes, Engine, Marks};
use super::error::OpenError;
use super::identity::{FORMAT, Found, Identity};
use super::{JournalSettings, tail};

const LOG: &[u8; 4] = b"log/";
/// Behind every entry.
const LOG_END: &[u8; 4] = b"log0";
const IDENTITY: &[u8] = b"identity";
const PROMISED: &[u8] = b"promised";
const CHOSEN: &[u8] = b"chosen";
const TRIMMED: &[u8] = b"trimmed";

pub(super) struct RocksEngine {
    db: DB,
    synced: WriteOptions,
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
        if !dir.join("CURRENT").exists() {
            // A folder with some other content was a journal once.
            let empty = fs::read_dir(dir).map_or(true, |mut files| files.next().is_none());
            return Err(if empty {
                OpenError::Missing { dir: dir.to_owned() }
            } else {
                OpenError::Damaged {
                    dir: dir.to_owned(),
                    what: "the file CURRENT is missing".to_owned(),
                }
            });
        }
        if let Some(holder) = holder(&dir.join("LOCK")) {
            return Err(OpenError::Locked {
                dir: dir.to_owned(),
                holder: Some(holder),
            });
        }
        tail::check(dir)?;
        let mut options = options(settings);
        options.create_if_missing(false);
        let db = DB::open(&options, dir).map_err(|error| refusal(dir, &error))?;
        let identity = db.get(IDENTITY).map_err(|error| refusal(dir, &error))?;
        let Some(identity) = identity else {
            return Err(OpenError::Unfinished { dir: dir.to_owned() });
        };
        match Identity::decode(&identity) {
            Found::Identity(found) => {
                if let Some(differences) = found.differences(expected) {
                    return Err(OpenError::Foreign {
                        dir: dir.to_owned(),
                        differences,
                    });
                }
            }
            Found::Newer(found) => {
                return Err(OpenError::Newer {
                    dir: dir.to_owned(),
                    found,
                    known: FORMAT,
                });
            }
            Found::Rubbish => {
                let what = format!("{identity:?} is not an identity");
                return Err(OpenError::Damaged {
                    dir: dir.to_owned(),
                    what,
                });
            }
        }
        Ok(RocksEngine { db, synced: synced() })
    }

    fn number(&self, key: &[u8]) -> Result<Option<u64>, String> {
        match self.db.get(key).map_err(|error| error.to_string())? {
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
}

impl Engine for RocksEngine {
    fn marks(&self) -> Result<Marks, String> {
        let promised = match self.db.get(PROMISED).map_err(|error| error.to_string())? {
            None => Ballot::ZERO,
            Some(bytes) => match bytes.split_first_chunk::<8>() {
                Some((round, leader)) if leader.len() == 8 => Ballot {
                    round: u64::from_be_bytes(*round),
                    leader: NodeId(leader.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))),
                },
                _ => return Err(format!("\"promised\" holds {bytes:?}, which is not a ballot")),
            },
        };
        let slot = |key| self.number(key).map(|number| Slot(number.unwrap_or(0)));
        Ok(Marks {
            promised,
            chosen: slot(CHOSEN)?,
            trimmed: slot(TRIMMED)?,
        })
    }

    fn scan(&self, from: Slot, to: Slot, visit: &mut dyn FnMut(Slot, &[u8]) -> ControlFlow<()>) -> Result<(), String> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(LOG_END);
        options.fill_cache(false);
        let mut cursor = self.db.raw_iterator_opt(options);
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
        if let Some(slot) = changes.trimmed {
            batch.delete_range(log_key(Slot::ZERO), log_key(slot.next()));
            batch.put(TRIMMED, slot.0.to_be_bytes());
        }
        self.db
            .write_opt(batch, &self.synced)
            .map_err(|error| error.to_string())
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
fn holder(file: &Path) -> Option<u32> {
    let inode = fs::metadata(file).ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let pid = fields.nth(4)?;
        let file = fields.next()?;
        if file.rsplit(':').next() == Some(inode.as_str()) {
            pid.parse().ok()
        } else {
            None
        }
    })
}
