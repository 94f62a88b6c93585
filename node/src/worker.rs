//! A thread that ends when its handle is dropped.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Dropping it tells the thread to end, and waits until it has.
pub(crate) struct Worker {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread of this name. What it is given hangs up when it is to end; nothing is ever sent through it, so waiting for
    /// something with a time limit is how to sleep.
    ///
    /// # Errors
    /// The system has no room for another thread.
    pub(crate) fn start(name: &str, work: impl FnOnce(&Receiver<()>) + Send + 'static) -> io::Result<Worker> {
        let (stop, stopped) = sync_channel(1);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&stopped))?;
        Ok(Worker {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has been printed already, or has ended the process.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_worker_that_is_dropped_has_ended() {
        let ended = Arc::new(AtomicBool::new(false));
        let told = ended.clone();
        let worker = Worker::start("worker", move |stopped| {
            assert!(stopped.recv().is_err());
            told.store(true, Ordering::Relaxed);
        });
        drop(worker.expect("a thread"));
        assert!(ended.load(Ordering::Relaxed));
    }
}
