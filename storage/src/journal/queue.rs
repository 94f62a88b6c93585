//! Writes that wait for the disk.

use std::sync::{Condvar, Mutex, MutexGuard};

use paxos::{Record, Slot, Write};

use super::error::{JournalError, SubmitError};

/// A bounded queue between the core's thread and the journal's.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    max_writes: usize,
    max_bytes: usize,
}

#[derive(Default)]
struct Waiting {
    writes: Vec<Write>,
    bytes: usize,
    trim: Slot,
    /// What may be forgotten is forgotten with the next commit, however little it is.
    at_once: bool,
    ended: Option<JournalError>,
}

/// What the journal's thread takes at once.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) writes: Vec<Write>,
    pub(super) bytes: usize,
    /// Everything up to here may be forgotten.
    pub(super) trim: Slot,
    /// That is not to wait until it is worth the while.
    pub(super) at_once: bool,
    /// No work follows.
    pub(super) last: bool,
}

impl Queue {
    pub(super) fn new(max_writes: usize, max_bytes: usize) -> Queue {
        Queue {
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            max_writes,
            max_bytes,
        }
    }

    pub(super) fn push(&self, writes: Vec<Write>) -> Result<(), SubmitError> {
        let bytes: usize = writes.iter().map(size).sum();
        let mut waiting = self.lock();
        if let Some(error) = &waiting.ended {
            return Err(error.clone().into());
        }
        let full = waiting.writes.len() + writes.len() > self.max_writes || waiting.bytes + bytes > self.max_bytes;
        if full && !waiting.writes.is_empty() {
            return Err(SubmitError::Full {
                writes,
                queued_writes: waiting.writes.len(),
                queued_bytes: waiting.bytes,
            });
        }
        waiting.bytes += bytes;
        if waiting.writes.is_empty() {
            waiting.writes = writes;
        } else {
            waiting.writes.extend(writes);
        }
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    pub(super) fn trim(&self, to: Slot) {
        let mut waiting = self.lock();
        waiting.trim = waiting.trim.max(to);
        drop(waiting);
        self.arrived.notify_one();
    }

    pub(super) fn trim_at_once(&self, to: Slot) {
        self.lock().at_once = true;
        self.trim(to);
    }

    /// Waits until there are writes, or more than `trim` may be forgotten, or no work follows; takes everything.
    pub(super) fn take(&self, trim: Slot) -> Work {
        let mut waiting = self.lock();
        while waiting.writes.is_empty() && waiting.trim <= trim && waiting.ended.is_none() {
            waiting = self
                .arrived
                .wait(waiting)
                .expect("no thread panics while it holds the lock");
        }
        Work {
            writes: std::mem::take(&mut waiting.writes),
            bytes: std::mem::take(&mut waiting.bytes),
            trim: waiting.trim,
            at_once: std::mem::take(&mut waiting.at_once),
            last: waiting.ended.is_some(),
        }
    }

    /// No more is accepted; what waits is still done.
    pub(super) fn close(&self) {
        self.lock().ended.get_or_insert(JournalError::Closed);
        self.arrived.notify_one();
    }

    /// A5: no more is accepted, and what waits is dropped.
    pub(super) fn poison(&self, error: JournalError) {
        let mut waiting = self.lock();
        waiting.ended = Some(error);
        waiting.writes.clear();
        waiting.bytes = 0;
    }

    /// Whether it ended because the journal failed.
    pub(super) fn failed(&self) -> bool {
        !matches!(self.lock().ended, None | Some(JournalError::Closed))
    }

    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no thread panics while it holds the lock")
    }
}

/// Memory that a write takes, about. Values in messages are the ones in records, or small.
fn size(write: &Write) -> usize {
    let records: usize = write
        .records
        .iter()
        .map(|record| match record {
            Record::Voted { value, .. } | Record::Learned { value, .. } => 64 + value.size(),
            Record::Promised(_) | Record::Chosen(_) => 32,
            Record::Configurations(_) => 4096,
        })
        .sum();
    records + 64 * (1 + write.then.len())
}
