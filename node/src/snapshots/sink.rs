//! The copy of a peer's state that this node fetches: pieces are verified, and the new state is built from them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use paxos::{ClusterId, Input, SnapshotId};
use storage::journal::Identity;
use storage::snapshot::{RocksSink, RocksSinkOptions, SnapshotError, Staging, discard_staged};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{Parts, Progress};
use crate::driver::Happening;
use crate::metrics::SnapshotMetrics;

/// Most pieces that wait for the disk; the core asks for fewer at a time.
const MAX_PIECES: usize = 32;

/// How often the log says how far it is.
const TELL: Duration = Duration::from_secs(5);

/// The driver's end. Dropping it lets the thread finish its piece.
pub(super) struct Sink {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

enum Job {
    Stage {
        snapshot: SnapshotId,
        number: u64,
        last: bool,
        payload: Bytes,
    },
    Abandon,
}

impl Sink {
    pub(super) fn start(parts: &Parts) -> std::io::Result<Sink> {
        let (jobs, queue) = sync_channel(MAX_PIECES);
        let options = RocksSinkOptions::new(parts.state);
        let work = Work {
            dir: parts.dir.clone(),
            identity: parts.identity.clone(),
            cluster: parts.origin.cluster_id,
            driver: parts.driver.clone(),
            metrics: parts.metrics.clone(),
            progress: parts.progress.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("snapshot-sink".to_owned())
            .spawn(move || work.run(&queue, &options))?;
        Ok(Sink {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Hands over the next piece; false if it cannot be taken.
    pub(super) fn stage(&self, snapshot: SnapshotId, number: u64, last: bool, payload: Bytes) -> bool {
        let job = Job::Stage {
            snapshot,
            number,
            last,
            payload,
        };
        self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok())
    }

    /// What was staged is of no use. If the thread is too busy to hear it, the next copy or the next start removes it.
    pub(super) fn abandon(&self) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.try_send(Job::Abandon);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has ended the process already.
            let _ = thread.join();
        }
    }
}

/// The thread's.
struct Work {
    dir: PathBuf,
    identity: Identity,
    cluster: ClusterId,
    driver: mpsc::Sender<Happening>,
    metrics: SnapshotMetrics,
    progress: Arc<Progress>,
}

/// The copy that is being taken.
struct Current<'o> {
    snapshot: SnapshotId,
    staging: Staging<RocksSink<'o>>,
    begun: Instant,
    told: Instant,
}

impl Work {
    fn run(self, queue: &Receiver<Job>, options: &RocksSinkOptions) {
        let mut current: Option<Current<'_>> = None;
        while let Ok(job) = queue.recv() {
            let Job::Stage {
                snapshot,
                number,
                last,
                payload,
            } = job
            else {
                current = None;
                self.discard();
                continue;
            };
            self.metrics.received_bytes.inc_by(payload.len() as u64);
            let input = match self.stage(&mut current, options, snapshot, number, last, &payload) {
                Ok(()) => Input::SnapshotStaged { snapshot, number },
                Err(error) => {
                    warn!(slot = %snapshot.slot, number, %error, "a copy of a peer's state is dropped");
                    current = None;
                    self.progress.clear();
                    self.discard();
                    Input::SnapshotRefused { snapshot }
                }
            };
            // A closed channel is a node that stops.
            if self.driver.blocking_send(Happening::Input(input)).is_err() {
                return;
            }
        }
    }

    fn stage<'o>(
        &self,
        current: &mut Option<Current<'o>>,
        options: &'o RocksSinkOptions,
        snapshot: SnapshotId,
        number: u64,
        last: bool,
        payload: &[u8],
    ) -> Result<(), SnapshotError> {
        if number == 0 {
            *current = None;
            let sink = RocksSink::begin(&self.dir, &self.identity, options)?;
            let now = Instant::now();
            self.progress.begin(snapshot.slot);
            *current = Some(Current {
                snapshot,
                staging: Staging::new(self.cluster, snapshot.slot, sink),
                begun: now,
                told: now,
            });
        }
        let Some(taking) = current.as_mut().filter(|taking| taking.snapshot == snapshot) else {
            return Err(SnapshotError::Misplaced {
                expected: 0,
                found: number,
            });
        };
        let taken = taking.staging.take(payload)?;
        if taken.complete != last {
            return Err(SnapshotError::Damaged {
                number,
                what: "whether it is the last piece is not as its sender says".to_owned(),
            });
        }
        let estimated = taking.staging.header().map_or(0, |header| header.estimated_rows);
        self.progress.take(taking.staging.taken(), estimated);
        if taking.told.elapsed() >= TELL {
            taking.told = Instant::now();
            self.tell();
        }
        if last && let Some(taken) = current.take() {
            let (_, summary) = taken.staging.finish()?;
            self.progress.complete();
            info!(
                slot = %snapshot.slot, rows = summary.rows, bytes = summary.bytes,
                seconds = taken.begun.elapsed().as_secs_f64(), "the copy of a peer's state is whole and durable"
            );
        }
        Ok(())
    }

    fn tell(&self) {
        if let Some(now) = self.progress.now() {
            info!(
                slot = now.slot,
                percent = now.percent,
                bytes = now.bytes,
                estimated_bytes = now.estimated_bytes,
                bytes_per_second = now.bytes_per_second,
                "fetching a copy of a peer's state"
            );
        }
    }

    fn discard(&self) {
        if let Err(error) = discard_staged(&self.dir) {
            warn!(%error, "what was staged of a peer's state cannot be removed");
        }
    }
}
