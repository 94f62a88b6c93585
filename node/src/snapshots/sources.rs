//! Copies of this node's state that peers fetch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use paxos::{Address, Input, SnapshotId};
use storage::machine::Reader;
use storage::snapshot::{Origin, PIECE_BYTES, Source};
use storage::tables::{RocksTables, Tables, TablesError};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{Pace, Parts};
use crate::driver::Happening;
use crate::guard::StateGuard;
use crate::metrics::SnapshotMetrics;

/// Most copies that are served at once; each keeps old versions of what changes meanwhile on the disk.
const MAX_SERVED: usize = 4;

/// A copy that nobody asks for is forgotten after this time.
const IDLE: Duration = Duration::from_secs(60);

/// Most questions that wait for one thread. The asker repeats what is dropped.
const MAX_QUESTIONS: usize = 4;

/// A copy of which the asker has so few pieces that a repeated "make me one" may mean it.
const HARDLY_READ: u64 = 8;

/// For how long that may be so.
const FRESH: Duration = Duration::from_secs(30);

/// The copies that are served.
pub(super) struct Sources {
    told: Told,
    served: BTreeMap<u64, Served>,
    /// Threads that may still run, of copies that are forgotten as well.
    threads: Vec<JoinHandle<()>>,
    /// The number of the last copy.
    serial: u64,
    stop: Arc<AtomicBool>,
}

/// What each thread is told.
#[derive(Clone)]
struct Told {
    reader: Reader<RocksTables>,
    origin: Origin,
    pace: Pace,
    driver: mpsc::Sender<Happening>,
    metrics: SnapshotMetrics,
    guard: StateGuard,
}

struct Served {
    peer: Address,
    begun: Instant,
    /// Pieces below this one were asked for.
    asked: u64,
    questions: SyncSender<Question>,
    /// Its thread has ended.
    ended: Arc<AtomicBool>,
}

/// Pieces `from .. from + count` are wanted.
struct Question {
    from: u64,
    count: u64,
}

impl Sources {
    pub(super) fn new(parts: Parts) -> Sources {
        Sources {
            told: Told {
                reader: parts.reader,
                origin: parts.origin,
                pace: parts.pace,
                driver: parts.driver,
                metrics: parts.metrics,
                guard: parts.guard,
            },
            served: BTreeMap::new(),
            threads: Vec::new(),
            serial: parts.boot,
            stop: Arc::default(),
        }
    }

    /// Has pieces read for `peer`; false if there is no such copy, or none can be made now.
    pub(super) fn read(&mut self, peer: Address, snapshot: Option<SnapshotId>, from: u64, count: u64) -> bool {
        self.served.retain(|_, served| !served.ended.load(Ordering::Relaxed));
        self.threads.retain(|thread| !thread.is_finished());
        let serial = match snapshot {
            Some(snapshot) => snapshot.serial,
            None => match self.hardly_read(peer) {
                Some(serial) => serial,
                None => match self.begin(peer) {
                    Some(serial) => serial,
                    None => return false,
                },
            },
        };
        let Some(served) = self.served.get_mut(&serial) else {
            return false;
        };
        served.asked = served.asked.max(from + count);
        !matches!(
            served.questions.try_send(Question { from, count }),
            Err(TrySendError::Disconnected(_))
        )
    }

    /// The copy that was made for this peer just now.
    fn hardly_read(&self, peer: Address) -> Option<u64> {
        let fresh = |served: &Served| served.asked <= HARDLY_READ && served.begun.elapsed() < FRESH;
        let mut served = self.served.iter();
        served
            .find(|(_, served)| served.peer == peer && fresh(served))
            .map(|(serial, _)| *serial)
    }

    /// Freezes the state as it is now, in place of an earlier copy for the same peer.
    fn begin(&mut self, peer: Address) -> Option<u64> {
        self.served.retain(|_, served| served.peer != peer);
        if self.served.len() >= MAX_SERVED {
            info!(peer = %peer.node, served = self.served.len(), "a peer asks for a copy of the state while as many as allowed are served");
            return None;
        }
        self.serial = self.serial.wrapping_add(1);
        let (questions, asked) = sync_channel(MAX_QUESTIONS);
        let ended = Arc::new(AtomicBool::new(false));
        let work = Work {
            told: self.told.clone(),
            peer,
            serial: self.serial,
            stop: self.stop.clone(),
            ended: ended.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("snapshot-source".to_owned())
            .spawn(move || work.run(&asked));
        match thread {
            Ok(thread) => {
                let served = Served {
                    peer,
                    begun: Instant::now(),
                    asked: 0,
                    questions,
                    ended,
                };
                self.threads.push(thread);
                self.served.insert(self.serial, served);
                Some(self.serial)
            }
            Err(error) => {
                warn!(%error, "cannot start a thread that serves a copy of the state");
                None
            }
        }
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.served.clear();
        for thread in self.threads.drain(..) {
            // A panic of the thread has ended the process already.
            let _ = thread.join();
        }
    }
}

/// A thread that serves one copy.
struct Work {
    told: Told,
    peer: Address,
    serial: u64,
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Work {
    fn run(self, questions: &Receiver<Question>) {
        self.told.metrics.serving.inc();
        if let Err(error) = self.serve(questions) {
            self.told
                .guard
                .met(&format!("the state cannot be read for node {}", self.peer.node), &error);
        }
        self.told.metrics.serving.dec();
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Until nobody has asked for a while, or the peer has begun anew.
    fn serve(&self, questions: &Receiver<Question>) -> Result<(), TablesError> {
        let tables = self.told.reader.tables();
        let mut source = Source::new(tables.freeze(), self.told.origin.clone(), tables.rows(), PIECE_BYTES)?;
        let snapshot = SnapshotId {
            slot: source.header().progress.applied,
            serial: self.serial,
        };
        let begun = Instant::now();
        let mut bytes = 0;
        info!(peer = %self.peer.node, slot = %snapshot.slot, "serving a copy of the state");
        while let Ok(Question { from, count }) = questions.recv_timeout(IDLE) {
            for number in from..from.saturating_add(count) {
                let Some(piece) = source.piece(number)? else { break };
                if !self.told.pace.wait(piece.payload.len(), &self.stop) {
                    return Ok(());
                }
                bytes += piece.payload.len() as u64;
                self.told.metrics.served_bytes.inc_by(piece.payload.len() as u64);
                let read = Input::SnapshotRead {
                    peer: self.peer,
                    snapshot,
                    number,
                    last: piece.last,
                    payload: piece.payload,
                };
                // A closed channel is a node that stops.
                if self.told.driver.blocking_send(Happening::Input(read)).is_err() {
                    return Ok(());
                }
            }
        }
        info!(peer = %self.peer.node, slot = %snapshot.slot, bytes, seconds = begun.elapsed().as_secs(), "a served copy of the state is forgotten");
        Ok(())
    }
}
