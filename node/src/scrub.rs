//! The scrub: reads what lies on the disk, slowly, again and again, so that what rots is found while others still have it.
//!
//! One thread reads the journal's entries and then the state's rows, past the caches, at a rate that nobody feels, and rests
//! between two passes. Every checksum on the way is verified. What it finds decides what becomes of the node:
//!
//! * **The journal** is damaged: the node stops, and no start opens it again. It cannot show what it promised, so it must not
//!   vote (A6), and a start may not come upon the same place. That holds for
//!   slots that are applied everywhere as well, although nobody will ask for them: RocksDB stumbles over the same block when
//!   it next compacts it, and then nothing can be written any more. To stop now, with a sentence, is the better time.
//! * **The state** is damaged: it is condemned, and the node stops. When it starts again the state is set aside and a peer's
//!   fetched; promises and votes are in the journal, so it goes on voting. A node without peers keeps what it has.
//! * **A row is not as the state machine writes it**, although its checksum is right: that is said and counted, no more. It
//!   would be the same on all nodes, and if all of them condemned their states, nobody would be left to fetch one from.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use paxos::Slot;
use serde::{Deserialize, Serialize};
use storage::journal::{Journal, LoadError};
use storage::machine::Reader;
use storage::tables::{RocksTables, TablesError};
use tracing::{error, info};

use crate::guard::{JournalGuard, StateGuard};
use crate::metrics::ScrubMetrics;
use crate::worker::Worker;

/// Read at once; then the thread waits until the rate allows more.
const PIECE: u64 = 256 << 10;

/// A node that has just started has other things to read.
const WARM_UP: Duration = Duration::from_secs(60);

/// How fast, and how often.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes read in a second; 0 turns the scrub off.
    pub bytes_per_second: u64,
    /// From the end of one pass to the beginning of the next.
    pub rest: Duration,
}

/// What the scrub reads, and whom it tells.
pub struct Parts {
    /// The journal.
    pub journal: Arc<Journal>,
    /// The state.
    pub reader: Reader<RocksTables>,
    /// Hears of a journal that is not whole.
    pub journal_guard: JournalGuard,
    /// Hears of a state that is not whole.
    pub guard: StateGuard,
    /// How fast.
    pub pace: Pace,
    /// What is counted.
    pub metrics: ScrubMetrics,
    /// What is shown.
    pub progress: Arc<ScrubProgress>,
}

/// What a node says of its scrub.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScrubStatus {
    /// Passes over journal and state that were completed since the process started.
    pub passes: u64,
    /// When the last one ended, in seconds since 1970; 0 if there was none.
    pub last_pass_unix_seconds: u64,
    /// Bytes read since the process started.
    pub bytes: u64,
    /// Faults found since the process started.
    pub faults: u64,
}

/// Written by the scrub, read by whoever publishes the node's status.
#[derive(Default)]
pub struct ScrubProgress(Mutex<ScrubStatus>);

impl ScrubProgress {
    /// As it is now.
    #[must_use]
    pub fn now(&self) -> ScrubStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut ScrubStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The scrub's thread, if there is one. Dropping it ends it at the next piece.
pub struct Scrub {
    _worker: Option<Worker>,
}

/// Why a pass ended early.
enum Cut {
    /// The node stops.
    Stopped,
    /// The journal is not what was written.
    Journal(String),
    /// The journal cannot be read, and may be whole.
    Unreadable(String),
    /// The state is not what was written, or cannot be read at all.
    State(TablesError),
}

impl Scrub {
    /// Begins, unless the pace is 0.
    ///
    /// # Errors
    /// What the system says if there can be no thread.
    pub fn start(parts: Parts) -> std::io::Result<Scrub> {
        let worker = match parts.pace.bytes_per_second {
            0 => None,
            _ => Some(Worker::start("scrub", move |stopped| Work { parts, stopped }.run())?),
        };
        Ok(Scrub { _worker: worker })
    }
}

struct Work<'s> {
    parts: Parts,
    stopped: &'s Receiver<()>,
}

impl Work<'_> {
    fn run(self) {
        let mut rest = WARM_UP.min(self.parts.pace.rest);
        loop {
            if self.wait(rest).is_err() {
                return;
            }
            let begun = Instant::now();
            match self.pass() {
                Ok(bytes) => {
                    self.completed();
                    info!(
                        bytes,
                        seconds = begun.elapsed().as_secs(),
                        "the disk was read through, and is whole"
                    );
                }
                Err(Cut::Stopped) => return,
                Err(cut) => return self.give_up(cut),
            }
            rest = self.parts.pace.rest;
        }
    }

    fn wait(&self, time: Duration) -> Result<(), Cut> {
        match self.stopped.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(Cut::Stopped),
        }
    }

    fn pass(&self) -> Result<u64, Cut> {
        Ok(self.pass_journal()? + self.pass_state()?)
    }

    /// Counts what was read, and waits until the rate allows more.
    fn spend(&self, store: &'static str, bytes: u64) -> Result<(), Cut> {
        self.parts.metrics.bytes.with_label_values(&[store]).inc_by(bytes);
        self.parts.progress.change(|status| status.bytes += bytes);
        let rate = self.parts.pace.bytes_per_second;
        self.wait(Duration::from_secs_f64(bytes as f64 / rate as f64))
    }

    /// Every chosen slot: later ones are in memory still.
    fn pass_journal(&self) -> Result<u64, Cut> {
        let journal = &self.parts.journal;
        let trimmed = || journal.trimmed().map_err(|error| Cut::Unreadable(error.to_string()));
        let end = self.parts.reader.applied();
        let mut next = trimmed()?.next();
        let mut sum = 0;
        while next <= end {
            match journal.load(next, end, PIECE as usize) {
                Ok(values) => {
                    let bytes = values.iter().map(|value| value.size() as u64).sum::<u64>();
                    next = Slot(next.0 + values.len() as u64);
                    sum += bytes;
                    // Even an empty slot costs a little.
                    self.spend("journal", bytes.max(values.len() as u64))?;
                }
                // Trimmed meanwhile?
                Err(LoadError::Missing { slot }) => match trimmed()?.next() {
                    begin if begin > next => next = begin,
                    _ => return Err(Cut::Journal(format!("slot {slot} is missing from the journal"))),
                },
                Err(error @ LoadError::Damaged { .. }) => return Err(Cut::Journal(error.to_string())),
                Err(error @ LoadError::Engine(_)) => return Err(Cut::Unreadable(error.to_string())),
            }
        }
        Ok(sum)
    }

    fn pass_state(&self) -> Result<u64, Cut> {
        let mut from = Vec::new();
        let mut sum = 0;
        loop {
            let stretch = self.parts.reader.examine(&from, PIECE).map_err(Cut::State)?;
            if let Some(fault) = stretch.fault {
                error!(
                    fault,
                    "the state holds what no state machine writes; it is left as it is"
                );
                self.fault("state");
            }
            sum += stretch.bytes;
            self.spend("state", stretch.bytes)?;
            match stretch.next {
                Some(next) => from = next,
                None => return Ok(sum),
            }
        }
    }

    fn fault(&self, store: &'static str) {
        self.parts.metrics.faults.with_label_values(&[store]).inc();
        self.parts.progress.change(|status| status.faults += 1);
    }

    fn completed(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |time| time.as_secs());
        self.parts.metrics.last_pass.set(i64::try_from(now).unwrap_or(i64::MAX));
        self.parts.progress.change(|status| {
            status.passes += 1;
            status.last_pass_unix_seconds = now;
        });
    }

    fn give_up(&self, cut: Cut) {
        let who = "the scrub has read the disk";
        match cut {
            Cut::Stopped => {}
            Cut::Journal(what) => {
                self.fault("journal");
                self.parts.journal_guard.damaged(who, &what);
            }
            Cut::Unreadable(what) => self.parts.journal_guard.unreadable(who, &what),
            Cut::State(error) => {
                if matches!(error, TablesError::Damaged { .. }) {
                    self.fault("state");
                }
                self.parts.guard.met(who, &error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::sync_channel;

    use paxos::{Batch, ClusterId, Command as Logged, CommandId, Entry, Record, Value, Write, WriteId};
    use prometheus::Registry;
    use quorum::{Incarnation, NodeId};
    use storage::journal::{Hooks, Identity};
    use storage::machine::{Command, Put};
    use storage::{Store, StoreSettings};
    use tokio::sync::mpsc;

    use super::*;

    const SLOTS: u64 = 200;

    /// A node's disk, with all slots applied and the state flushed; and what a scrub of it works with.
    fn node(dir: &Path, has_peers: bool) -> (Parts, mpsc::Receiver<String>) {
        let identity = Identity {
            cluster: "test".to_owned(),
            cluster_id: ClusterId(1),
            node: NodeId(1),
            incarnation: Incarnation(1),
        };
        Store::create(dir, &identity).expect("an empty folder");
        let (persisted, heard) = sync_channel(1000);
        let hooks = Hooks {
            release: Box::new(drop),
            persisted: Box::new(move |id| _ = persisted.send(id)),
            failed: Box::new(|error| panic!("{error}")),
        };
        let mut settings = StoreSettings::default();
        // So small that most entries are in sorted files.
        settings.journal.memtable_bytes = 64 << 10;
        let mut store = Store::open(dir, &identity, settings, hooks, &Registry::new()).expect("a fresh store");
        for slot in 1..=SLOTS {
            let put = Put {
                key: format!("key {slot}").into(),
                value: slot.to_le_bytes().repeat(200).into(),
                ..Put::default()
            };
            let id = CommandId {
                origin: NodeId(1),
                boot: 1,
                sequence: slot,
            };
            let payload = Command::Put(put).encode();
            let value = Value::Commands(Batch::pack(&[Logged { id, payload }]));
            let slot = Slot(slot);
            let learned = Record::Learned {
                slot,
                value: value.clone(),
            };
            let write = Write {
                id: WriteId(slot.0),
                records: vec![learned, Record::Chosen(slot)],
                then: Vec::new(),
            };
            store.journal.submit(vec![write]).expect("a short queue");
            while heard.recv().expect("the journal lives").0 < slot.0 {}
            let entry = Entry { slot, value };
            store
                .machine
                .apply(&[entry], |_| false, |_, _| {})
                .expect("a healthy disk");
        }
        store.machine.flusher().flush().expect("a healthy disk");
        let (ends, failures) = mpsc::channel(1);
        let parts = Parts {
            journal: Arc::new(store.journal),
            reader: store.machine.reader(),
            journal_guard: JournalGuard::new(dir, ends.clone()),
            guard: StateGuard::new(dir, move || has_peers, ends),
            pace: Pace {
                bytes_per_second: 1 << 40,
                rest: Duration::from_secs(1),
            },
            metrics: ScrubMetrics::new(&Registry::new()),
            progress: Arc::default(),
        };
        (parts, failures)
    }

    /// A scrub that runs when it is told to.
    fn scrubbing<R>(parts: Parts, scrub: impl FnOnce(Work<'_>) -> R) -> R {
        let (_stop, stopped) = sync_channel(1);
        scrub(Work {
            parts,
            stopped: &stopped,
        })
    }

    /// What a pass comes upon.
    fn cut(work: &Work<'_>) -> Cut {
        work.pass().map_or_else(|cut| cut, |_| panic!("the disk is not whole"))
    }

    /// Spoils the middle of every sorted file of a folder, under the feet of who has it open.
    fn rot(dir: &Path) {
        use std::os::unix::fs::FileExt;
        let mut spoilt = 0;
        for file in std::fs::read_dir(dir).expect("the folder") {
            let path = file.expect("a file").path();
            if path.extension().is_some_and(|extension| extension == "sst") {
                let file = std::fs::File::options().write(true).open(&path).expect("a file");
                let middle = file.metadata().expect("a file").len() / 2;
                file.write_all_at(&[0x5a; 64], middle).expect("writable");
                spoilt += 1;
            }
        }
        assert!(spoilt > 0, "there are sorted files in {}", dir.display());
    }

    #[test]
    fn a_whole_disk_is_read_through() {
        let dir = tempfile::tempdir().expect("a folder");
        let (parts, mut failures) = node(dir.path(), true);
        scrubbing(parts, |work| {
            let Ok(bytes) = work.pass() else {
                panic!("the disk is whole")
            };
            assert!(bytes > 2 * SLOTS * 1600, "journal and state were read: {bytes}");
            work.completed();
            let status = work.parts.progress.now();
            assert_eq!((status.passes, status.bytes >= bytes, status.faults), (1, true, 0));
        });
        assert!(failures.try_recv().is_err());
    }

    #[test]
    fn a_state_that_rots_is_condemned_and_a_journal_that_rots_ends_the_node() {
        let dir = tempfile::tempdir().expect("a folder");
        let (parts, mut failures) = node(dir.path(), true);
        scrubbing(parts, |work| {
            rot(&dir.path().join("state"));
            work.give_up(cut(&work));
            let said = failures.try_recv().expect("it says so");
            assert!(
                said.contains("the state in") && said.contains("fetches a peer's"),
                "{said}"
            );
            assert!(dir.path().join("state.condemned").exists());
            rot(&dir.path().join("journal"));
            work.give_up(cut(&work));
            let said = failures.try_recv().expect("it says so");
            assert!(said.contains("must not vote any more"), "{said}");
            let kept = std::fs::read_to_string(dir.path().join("journal.condemned")).expect("the next start knows");
            assert!(said.contains(&kept), "{kept}");
            assert_eq!(work.parts.progress.now().faults, 2);
        });
    }

    #[test]
    fn a_state_without_peers_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let (parts, mut failures) = node(dir.path(), false);
        scrubbing(parts, |work| {
            rot(&dir.path().join("state"));
            work.give_up(cut(&work));
        });
        assert!(failures.try_recv().expect("it says so").contains("no peer"));
        assert!(!dir.path().join("state.condemned").exists());
    }

    #[test]
    fn it_ends_when_the_node_stops() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut parts, _failures) = node(dir.path(), true);
        let (stop, stopped) = sync_channel(1);
        drop(stop);
        let work = Work {
            parts,
            stopped: &stopped,
        };
        assert!(matches!(work.pass(), Err(Cut::Stopped)));
        parts = work.parts;
        parts.pace.bytes_per_second = 0;
        drop(Scrub::start(parts).expect("nothing to start"));
    }
}
