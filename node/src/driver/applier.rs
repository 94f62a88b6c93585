//! The applier: a thread that does what was chosen and answers the clients who wait for it.
//!
//! Entries that arrive while one batch is applied are applied together in the next: one atomic write for all of them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use paxos::{Address, Entry, Input, RequestId};
use storage::machine::{ApplyError, KvError, Machine};
use storage::tables::Tables;
use tokio::sync::mpsc;

use super::Happening;
use crate::requests::Waiters;

/// Most entries applied in one write: bounds how long the first of them waits for the last.
const MAX_ENTRIES: usize = 64;

/// The driver's end of the applier.
pub struct Applier {
    entries: Sender<Entry>,
    thread: JoinHandle<()>,
}

/// Why the applier stopped by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// The state machine failed.
    Failed(ApplyError),
    /// X1: a command of this process took no effect, because the cluster has seen a later process of this node.
    Superseded,
}

impl Stopped {
    /// What an operator is told of a process that was superseded.
    pub const SUPERSEDED: &str = "a client's write took no effect, because the cluster has seen a later process of this node: \
                                  another node runs under its name, or the clock was set back while its disk was replaced. Make \
                                  sure that it is the only one, and start it again";
}

/// What the applier's thread works with.
struct Work<T: Tables> {
    machine: Machine<T>,
    entries: Receiver<Entry>,
    me: Address,
    boot: u64,
    waiters: Arc<Waiters>,
    driver: mpsc::Sender<Happening>,
    failed: Box<dyn Fn(Stopped) + Send>,
}

impl Applier {
    /// Starts the thread. `failed` is called once if the state machine can no longer be written, or must not be; the node must
    /// stop then.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start<T: Tables>(
        machine: Machine<T>,
        me: Address,
        boot: u64,
        waiters: Arc<Waiters>,
        driver: mpsc::Sender<Happening>,
        failed: impl Fn(Stopped) + Send + 'static,
    ) -> std::io::Result<Applier> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the driver must never wait here; the core's window and its limit of bytes in memory are the bound"
        )]
        let (sender, entries) = channel();
        let work = Work {
            machine,
            entries,
            me,
            boot,
            waiters,
            driver,
            failed: Box::new(failed),
        };
        let thread = std::thread::Builder::new()
            .name("applier".to_owned())
            .spawn(move || work.run())?;
        Ok(Applier {
            entries: sender,
            thread,
        })
    }

    /// Hands over the next entry.
    ///
    /// # Errors
    /// A sentence, if the applier has failed.
    pub(super) fn apply(&self, entry: Entry) -> Result<(), String> {
        self.entries
            .send(entry)
            .map_err(|_| "the applier has stopped".to_owned())
    }

    /// Applies what was handed over and ends the thread.
    pub fn finish(self) {
        drop(self.entries);
        // A panic of the applier has ended the process already.
        let _ = self.thread.join();
    }
}

impl<T: Tables> Work<T> {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(MAX_ENTRIES);
        while let Ok(first) = self.entries.recv() {
            batch.push(first);
            batch.extend(self.entries.try_iter().take(MAX_ENTRIES - 1));
            let Some(last) = batch.last().map(|entry| entry.slot) else {
                continue;
            };
            let (node, boot, waiters) = (self.me.node, self.boot, &self.waiters);
            let mut superseded = false;
            let applied = self.machine.apply(
                &batch,
                |id| id.origin == node && id.boot == boot,
                |id, applied| match applied.result {
                    // Whether it had its effect before is not known here: its client is told when the process ends.
                    Err(KvError::TooLate) => superseded |= waiters.is_waiting(RequestId(id.sequence)),
                    _ => waiters.applied(RequestId(id.sequence), applied),
                },
            );
            batch.clear();
            if let Err(error) = applied {
                (self.failed)(Stopped::Failed(error));
                return;
            }
            if superseded {
                (self.failed)(Stopped::Superseded);
                return;
            }
            if self
                .driver
                .blocking_send(Happening::Input(Input::Applied(last)))
                .is_err()
            {
                return;
            }
        }
    }
}
