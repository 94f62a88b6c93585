//! The end of a journal that failed, whichever thread meets the failure first (A5).

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::engine::Engine;
use super::error::JournalError;
use super::queue::Queue;

/// How often the engine's own threads are asked after.
const EVERY: Duration = Duration::from_millis(100);

type Failed = Box<dyn FnOnce(JournalError) + Send>;

/// Raised at most once, and nothing is said behind it.
pub(super) struct Alarm {
    queue: Arc<Queue>,
    failed: Mutex<Option<Failed>>,
}

impl Alarm {
    pub(super) fn new(queue: Arc<Queue>, failed: Failed) -> Alarm {
        Alarm {
            queue,
            failed: Mutex::new(Some(failed)),
        }
    }

    /// The journal failed for good.
    pub(super) fn raise(&self, error: JournalError) {
        let mut failed = self.lock();
        if let Some(failed) = failed.take() {
            self.queue.poison(error.clone());
            failed(error);
        }
    }

    /// Does `then` unless the alarm was raised; it is not raised meanwhile. Whether it was done.
    pub(super) fn unless_raised(&self, then: impl FnOnce()) -> bool {
        let failed = self.lock();
        let well = failed.is_some();
        if well {
            then();
        }
        well
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failed>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that asks after the engine's own threads while the journal's is in the middle of a write.
///
/// RocksDB makes a write wait when its memtables are full. When it then cannot write a file, gets over that by itself and flushes,
/// its flush waits behind the write and the write for the flush, for ever: the journal's thread will never say so.
pub(super) struct Watch {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(engine: Arc<dyn Engine>, alarm: Arc<Alarm>) -> std::io::Result<Watch> {
        let (stop, stopped) = sync_channel::<()>(1);
        let work = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                if let Err(reason) = engine.sound() {
                    return alarm.raise(JournalError::Write(reason));
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("journal-watch".to_owned())
            .spawn(work)?;
        Ok(Watch {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has ended the process already.
            let _ = thread.join();
        }
    }
}
