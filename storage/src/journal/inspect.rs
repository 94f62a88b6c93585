//! A look at a journal that no node has open: all of it is read, nothing is changed.

use std::ops::ControlFlow;
use std::path::Path;

use paxos::{Ballot, Configurations, Logged, Slot};
use rocksdb::DB;

use super::error::OpenError;
use super::identity::Identity;
use super::rocks::{judge, open_to_look, present, read_identity, read_marks, scan_entries};
use super::{entry, synced, tail};

/// What a journal holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JournalFindings {
    /// Whose it is, if it says so.
    pub identity: Option<Identity>,
    /// In which format it is.
    pub format: Option<u32>,
    /// The highest ballot promised.
    pub promised: Ballot,
    /// Every slot up to here was recorded as chosen.
    pub chosen: Slot,
    /// Every slot up to here is gone.
    pub trimmed: Slot,
    /// Slots that are there without a gap, from and to.
    runs: Vec<(Slot, Slot)>,
    /// The highest slot that is there.
    pub last: Slot,
    /// Entries that were read and are whole.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// RocksDB's log files.
    pub log_files: u64,
    /// Their bytes.
    pub log_bytes: u64,
    /// Bytes at the end of log files that are no whole record: a write that was never acknowledged, or reserved space.
    pub torn_bytes: u64,
    /// The number of the last change that is there.
    pub last_change: u64,
    /// The number of the last change that is known to have been durable.
    pub synced: Option<u64>,
    /// What keeps it from being whole, as sentences; nothing else may be missing from this list.
    pub faults: Vec<String>,
    /// What an operator may want to know.
    pub notes: Vec<String>,
    /// A newer build wrote it: nothing can be said.
    pub newer: bool,
}

/// A journal that no node has open, for looking single slots up.
pub(crate) struct JournalView {
    db: DB,
}

impl JournalView {
    /// Opens the journal in `dir`; changes nothing.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(dir: &Path) -> Result<JournalView, OpenError> {
        Ok(JournalView { db: open_to_look(dir)? })
    }

    /// The configurations that govern the log, if the journal was told of a change (R2) and that can be read.
    pub(crate) fn configurations(&self) -> Option<Configurations> {
        read_marks(&self.db).ok()?.configurations
    }

    /// What a slot holds, if that is there and whole.
    pub(crate) fn entry(&self, slot: Slot) -> Option<Logged> {
        let mut found = None;
        let scanned = scan_entries(&self.db, slot, slot, &mut |_, bytes| {
            found = entry::decode(slot, bytes).ok();
            ControlFlow::Break(())
        });
        // What cannot be read was listed when the journal was inspected.
        scanned.ok().and(found)
    }
}

/// Runs of slots that are told apart. Above the chosen prefix there may be gaps, but no more than the window has slots.
const RUNS: usize = 1 << 16;

/// Faults of single slots that are listed; the rest are counted.
const LISTED: u64 = 10;

impl JournalFindings {
    /// Reads all of the journal in `dir`. `read` hears of bytes as they are read.
    pub(crate) fn gather(dir: &Path, read: &mut dyn FnMut(u64)) -> JournalFindings {
        let mut findings = JournalFindings::default();
        if let Err(error) = findings.look(dir, read) {
            findings.newer = matches!(error, OpenError::Newer { .. });
            findings.faults.push(match error {
                // The sentence around it is the report's.
                OpenError::Damaged { what, .. } => what,
                error => error.to_string(),
            });
        }
        findings
    }

    /// The end of the run of slots that begins behind `base`.
    #[must_use]
    pub fn reaches(&self, base: Slot) -> Slot {
        let next = base.next();
        let run = self.runs.iter().find(|(from, to)| *from <= next && next <= *to);
        run.map_or(base, |(_, to)| *to)
    }

    fn run_on(&mut self, slot: Slot) {
        if let Some((_, last)) = self.runs.last_mut()
            && last.next() == slot
        {
            *last = slot;
        } else if self.runs.len() < RUNS {
            self.runs.push((slot, slot));
        }
    }

    fn look(&mut self, dir: &Path, read: &mut dyn FnMut(u64)) -> Result<(), OpenError> {
        present(dir)?;
        let tail = tail::check(dir)?;
        read(tail.bytes);
        (self.log_files, self.log_bytes, self.torn_bytes) = (tail.files, tail.bytes, tail.torn);
        let engine = |reason: String| OpenError::Engine {
            dir: dir.to_owned(),
            reason,
        };
        let mark = synced::read(dir).map_err(|error| engine(error.to_string()))?;
        if let synced::Found::Mark { number, alone, .. } = mark {
            self.synced = Some(number);
            if alone {
                self.notes.push(format!(
                    "one of the two cells of {} cannot be read; the next write makes it new",
                    synced::FILE
                ));
            }
        }
        let db = open_to_look(dir)?;
        self.last_change = db.latest_sequence_number();
        let (identity, format) = read_identity(&db, dir)?;
        let owner = synced::owner(&identity);
        (self.identity, self.format) = (Some(identity), Some(format.0));
        if let Err(OpenError::Damaged { what, .. }) = judge(dir, format, &mark, owner, self.last_change) {
            self.faults.push(what);
        }
        let marks = read_marks(&db).map_err(engine)?;
        (self.promised, self.chosen, self.trimmed) = (marks.promised, marks.chosen, marks.trimmed);
        let mut bad = 0;
        let scanned = scan_entries(&db, marks.trimmed.next(), Slot(u64::MAX), &mut |slot, bytes| {
            read(bytes.len() as u64);
            self.last = slot;
            match entry::decode(slot, bytes) {
                Ok(_) => {
                    self.entries += 1;
                    self.bytes += bytes.len() as u64;
                }
                Err(reason) => {
                    bad += 1;
                    if bad <= LISTED {
                        self.faults.push(format!("slot {slot} cannot be read: {reason}"));
                    }
                }
            }
            self.run_on(slot);
            ControlFlow::Continue(())
        });
        if bad > LISTED {
            self.faults.push(format!("{} more slots cannot be read", bad - LISTED));
        }
        if let Err(reason) = scanned {
            let behind = self.last.max(marks.trimmed);
            self.faults
                .push(format!("what follows slot {behind} cannot be read: {reason}"));
        }
        Ok(())
    }
}
