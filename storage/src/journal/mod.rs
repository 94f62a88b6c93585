//! The journal: promises, votes and chosen values, durable before anything that rests on them is said.
//!
//! The core hands over [`Write`]s: records, and the messages that may leave once the records are on the disk (A3). One
//! thread takes everything that is queued, makes it durable with *one* sync, hands the messages to the transport and
//! reports the last write; since writes go through one queue in order, that report covers all earlier ones (A4). While
//! one sync runs the next batch gathers, so the slower the disk, the larger the batches.
//!
//! The first failure is the last (A5): nothing behind it is released, every later [`submit`](Journal::submit) is
//! refused, and the process is told to exit. And a journal that cannot be shown to be whole is not opened (A6): the only
//! damage that is tolerated is an incomplete last write, which was never acknowledged.
//!
//! | room | what it knows |
//! |---|---|
//! | `queue` | writes that wait, within a bound of count and bytes |
//! | `writer` | the thread: drain, encode, commit, release, report, trim |
//! | `entry` | the bytes of one slot, with a checksum of their own |
//! | `engine` | what is asked of a storage engine, in the journal's words |
//! | `rocks` | RocksDB as that engine |
//! | `tail`, `synced` | what is checked before RocksDB is let near its files: its log, and how far it must reach (A6) |
//! | `identity` | whose journal it is |
//! | `inspect` | a look at a journal that no node has open |
//!
//! Not here: ballots are stored, never compared to decide anything; what to trim and what to load is the core's word.

mod alarm;
mod engine;
mod entry;
mod error;
mod identity;
mod inspect;
mod metrics;
mod queue;
mod rocks;
mod synced;
mod tail;
mod writer;

pub use error::{JournalError, LoadError, OpenError, SubmitError};
pub use identity::{FORMAT, Identity};
pub use inspect::JournalFindings;
pub(crate) use inspect::JournalView;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use paxos::{Envelope, Logged, Recovered, Slot, Value, Write, WriteId};
use prometheus::Registry;

use alarm::Watch;
use engine::{Changes, Engine};
use metrics::Metrics;
use queue::Queue;
use rocks::RocksEngine;
pub(crate) use rocks::holder;

/// How the journal works.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct JournalSettings {
    /// Bytes written before they go from the log file to a sorted file.
    pub memtable_bytes: usize,
    /// Most writes that wait for the disk.
    pub max_queued_writes: usize,
    /// Most bytes of writes that wait for the disk; one write is taken even if it is larger.
    pub max_queued_bytes: usize,
    /// A test aid: how much longer each sync takes than the disk needs, to see how a slower disk behaves.
    pub sync_delay: Duration,
}

impl Default for JournalSettings {
    fn default() -> JournalSettings {
        JournalSettings {
            memtable_bytes: 64 << 20,
            max_queued_writes: 65_536,
            max_queued_bytes: 256 << 20,
            sync_delay: Duration::ZERO,
        }
    }
}

/// Whom the journal's thread tells. All run on that thread: what they take delays the next sync.
pub struct Hooks {
    /// The messages of completed writes, in order. Called before `persisted`.
    pub release: Box<dyn FnMut(Vec<Envelope>) + Send>,
    /// This write and all earlier ones are durable, and their messages are released.
    pub persisted: Box<dyn FnMut(WriteId) + Send>,
    /// A5: the journal failed for good; the process must exit. Called at most once, and nothing is called after it.
    pub failed: Box<dyn FnOnce(JournalError) + Send>,
}

/// The journal of one node. Dropping it completes what is queued and ends its threads.
pub struct Journal {
    place: PathBuf,
    engine: Arc<dyn Engine>,
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
    /// Ends after the writer, or instead of it.
    _watch: Watch,
}

/// How long a journal that failed waits for its thread, which RocksDB may hold up for ever.
const GOODBYE: Duration = Duration::from_secs(1);

impl Journal {
    /// Makes an empty journal in `dir`, which must be empty or not exist, and closes it.
    ///
    /// # Errors
    /// [`OpenError`]; what was in the folder is untouched.
    pub fn create(dir: &Path, identity: &Identity) -> Result<(), OpenError> {
        RocksEngine::create(dir, identity)
    }

    /// Opens the journal in `dir` if it is whole and belongs to `expected`.
    ///
    /// # Errors
    /// [`OpenError`]. A damaged journal is left exactly as it is.
    pub fn open(
        dir: &Path,
        expected: &Identity,
        settings: JournalSettings,
        hooks: Hooks,
        registry: &Registry,
    ) -> Result<Journal, OpenError> {
        let metrics = Metrics::register(registry).map_err(|error| OpenError::Engine {
            dir: dir.to_owned(),
            reason: error.to_string(),
        })?;
        let engine: Arc<dyn Engine> = Arc::new(RocksEngine::open(dir, expected, settings)?);
        let queue = Arc::new(Queue::new(settings.max_queued_writes, settings.max_queued_bytes));
        let marks = engine.marks().map_err(|reason| OpenError::Engine {
            dir: dir.to_owned(),
            reason,
        })?;
        let no_thread = |error: std::io::Error| OpenError::Engine {
            dir: dir.to_owned(),
            reason: error.to_string(),
        };
        let (writer, alarm) = writer::spawn(
            Arc::clone(&engine),
            Arc::clone(&queue),
            marks,
            settings.sync_delay,
            hooks,
            metrics,
        )
        .map_err(no_thread)?;
        let watch = Watch::start(Arc::clone(&engine), alarm).map_err(no_thread)?;
        Ok(Journal {
            place: dir.to_owned(),
            engine,
            queue,
            writer: Some(writer),
            _watch: watch,
        })
    }

    /// [`Journal::recover_beside`] a state machine that has applied every slot up to `applied` itself.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], naming the slot that is missing or does not read.
    pub fn recover(&self, applied: Slot) -> Result<Recovered, OpenError> {
        self.recover_beside(applied, Slot::ZERO)
    }

    /// What the journal holds, for a state machine that has durably applied every slot up to `applied`, the first of them
    /// up to `installed` by taking over a peer's state (C3).
    ///
    /// Every slot above the trimmed prefix and up to the chosen prefix must be there, except those that came with a peer's
    /// state. A slot that this node applied itself was durable here before, so `applied` is also a lower bound of what must
    /// be there: a journal that lost its end is noticed (A6).
    ///
    /// The journal trims itself to `installed`, and so reports it as trimmed: whatever it holds at or below it, values that
    /// were never chosen among it, is of no use to anybody. What it holds above stays, and so does the promise (A7). A state
    /// that is *older* than the journal's beginning is no reason to refuse: it can be fetched again, promises cannot.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], naming the slot that is missing or does not read.
    pub fn recover_beside(&self, applied: Slot, installed: Slot) -> Result<Recovered, OpenError> {
        assert!(
            installed <= applied,
            "C3: a state that was installed at slot {installed} has applied only up to slot {applied}"
        );
        let marks = self.engine.marks().map_err(|reason| self.unreadable(reason))?;
        let trimmed = marks.trimmed.max(installed);
        let chosen = marks.chosen.max(applied);
        let (log, log_bytes) = self.scan_log(trimmed, applied, chosen)?;
        if trimmed > marks.trimmed {
            self.queue.trim_at_once(trimmed);
        }
        Ok(Recovered {
            promised: marks.promised,
            chosen,
            applied,
            trimmed,
            log_bytes,
            log,
            configurations: marks.configurations,
        })
    }

    /// The entries above `trimmed` and `applied`, and the bytes of those between the two. Those from `trimmed` to `chosen` must
    /// be there.
    fn scan_log(&self, trimmed: Slot, applied: Slot, chosen: Slot) -> Result<(Vec<(Slot, Logged)>, u64), OpenError> {
        let mut next = trimmed.next();
        let mut log = Vec::new();
        let mut log_bytes = 0;
        let mut fault = None;
        self.engine
            .scan(next, Slot(u64::MAX), &mut |slot, bytes| {
                if slot != next && next <= chosen {
                    return ControlFlow::Break(());
                }
                next = slot.next();
                if slot <= applied {
                    log_bytes += bytes.len() as u64;
                } else {
                    match entry::decode(slot, bytes) {
                        Ok(logged) => log.push((slot, logged)),
                        Err(reason) => {
                            fault = Some(format!("slot {slot} cannot be read: {reason}"));
                            return ControlFlow::Break(());
                        }
                    }
                }
                ControlFlow::Continue(())
            })
            .map_err(|reason| self.unreadable(reason))?;
        if let Some(fault) = fault {
            return Err(self.damaged(fault));
        }
        if next <= chosen {
            return Err(self.damaged(format!(
                "slot {next} is missing, although every slot from {} to {chosen} was recorded as chosen or applied",
                trimmed.next()
            )));
        }
        Ok((log, log_bytes))
    }

    /// X1: numbers the process of this node that begins, above all earlier ones that used this journal, and not below `least`. The
    /// number is durable when this returns. Must come before the first write.
    ///
    /// # Errors
    /// [`OpenError`] if the journal cannot be read or written.
    pub fn begin_process(&self, least: u64) -> Result<u64, OpenError> {
        let marks = self.engine.marks().map_err(|reason| self.unreadable(reason))?;
        let process = least.max(marks.process + 1);
        let changes = Changes {
            process: Some(process),
            ..Changes::default()
        };
        let unwritten = |reason| OpenError::Engine {
            dir: self.place.clone(),
            reason,
        };
        self.engine.commit(&changes).map_err(unwritten)?;
        Ok(process)
    }

    /// Every slot up to here is gone.
    ///
    /// # Errors
    /// [`OpenError`] if the journal cannot be read.
    pub fn trimmed(&self) -> Result<Slot, OpenError> {
        let marks = self.engine.marks().map_err(|reason| self.unreadable(reason))?;
        Ok(marks.trimmed)
    }

    /// Queues writes, which must be numbered in the order in which they are submitted. Never blocks on the disk.
    ///
    /// # Errors
    /// [`SubmitError`]; then none of them is queued.
    pub fn submit(&self, writes: Vec<Write>) -> Result<(), SubmitError> {
        self.queue.push(writes)
    }

    /// Bytes of writes that wait for the disk.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Forgets every slot up to `to` when it is worth the while, which may be much later.
    pub fn trim(&self, to: Slot) {
        self.queue.trim(to);
    }

    /// The chosen values of consecutive slots from `from` on: up to `to`, or until `max_bytes` are read, but at least
    /// one. From any thread. Only slots that are known to be chosen may be asked for.
    ///
    /// # Errors
    /// [`LoadError`], naming the slot that is not there or does not read.
    pub fn load(&self, from: Slot, to: Slot, max_bytes: usize) -> Result<Vec<Value>, LoadError> {
        let mut values = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        let mut fault = None;
        self.engine
            .scan(from, to, &mut |slot, encoded| {
                if slot != next {
                    return ControlFlow::Break(());
                }
                match entry::decode(slot, encoded) {
                    Ok(Logged::Voted(_, value) | Logged::Learned(value)) => {
                        bytes += value.size();
                        values.push(value);
                    }
                    Err(reason) => {
                        fault = Some(LoadError::Damaged { slot, reason });
                        return ControlFlow::Break(());
                    }
                }
                next = slot.next();
                if bytes >= max_bytes {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .map_err(|reason| match reason {
                // A checksum that is wrong is RocksDB's to notice, and its errors begin with what they are.
                reason if reason.starts_with("Corruption") => LoadError::Damaged { slot: next, reason },
                reason => LoadError::Engine(reason),
            })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        if bytes < max_bytes && next <= to {
            return Err(LoadError::Missing { slot: next });
        }
        Ok(values)
    }

    fn damaged(&self, what: String) -> OpenError {
        OpenError::Damaged {
            dir: self.place.clone(),
            what,
        }
    }

    fn unreadable(&self, reason: String) -> OpenError {
        OpenError::Engine {
            dir: self.place.clone(),
            reason,
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue.close();
        let Some(writer) = self.writer.take() else { return };
        let mut failed_since = None;
        while !writer.is_finished() {
            if self.queue.failed() && failed_since.get_or_insert_with(Instant::now).elapsed() > GOODBYE {
                // A5: the process is to end, and not to wait for a disk.
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // A panic of the thread was reported as a failure already.
        let _ = writer.join();
    }
}
