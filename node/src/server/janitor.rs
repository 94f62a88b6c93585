//! The janitor: flushes the state now and then, so that the journal can be trimmed and a restart replays little.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use paxos::Input;
use storage::machine::{Flusher, Reader};
use storage::tables::RocksTables;
use tokio::sync::mpsc;

use super::{Failure, during};
use crate::driver::Happening;

/// How often the janitor looks.
const ROUND: Duration = Duration::from_millis(500);

/// Applied slots that are not flushed beyond which it flushes.
const MANY: u64 = 20_000;

/// A state that changed is flushed after this time at the latest.
const LONG: Duration = Duration::from_secs(30);

/// The janitor's thread. Dropping it lets it finish its round.
pub(super) struct Janitor {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub(super) fn start(
    reader: Reader<RocksTables>,
    flusher: Flusher<RocksTables>,
    driver: mpsc::Sender<Happening>,
    failed: mpsc::Sender<String>,
) -> Result<Janitor, Failure> {
    let (stop, stopped) = sync_channel::<()>(1);
    let work = move || {
        let mut last = Instant::now();
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(ROUND) {
            let behind = reader.applied().0 - flusher.flushed().0;
            if behind < MANY && (behind == 0 || last.elapsed() < LONG) {
                continue;
            }
            last = Instant::now();
            match flusher.flush() {
                Ok(slot) => {
                    if driver.blocking_send(Happening::Input(Input::Flushed(slot))).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let _ = failed.try_send(format!("the state cannot be flushed: {error}"));
                    return;
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("janitor".to_owned()).spawn(work);
    let thread = thread.map_err(during("cannot start the janitor"))?;
    Ok(Janitor {
        stop: Some(stop),
        thread: Some(thread),
    })
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has ended the process already.
            let _ = thread.join();
        }
    }
}
