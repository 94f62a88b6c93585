//! Who waits for which answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use paxos::{Outcome, RequestId};
use storage::machine::Applied;
use tokio::sync::oneshot;

use super::hand_over::HandOvers;

/// What a waiter is told.
#[derive(Debug)]
pub enum Answer {
    /// The command was done.
    Applied(Applied),
    /// What the core says: a read may be served, or the request failed.
    Outcome(Outcome),
}

/// Registering and answering happen on different threads; requests that follow each other meet different locks.
const SHARDS: usize = 16;

type Shard = HashMap<RequestId, oneshot::Sender<Answer>>;

/// The table of waiting requests. Dropping it, or closing it, answers everybody.
#[derive(Default)]
pub struct Waiters {
    shards: [Mutex<Shard>; SHARDS],
    closed: AtomicBool,
    /// What becomes of hand-overs.
    pub hand_overs: HandOvers,
}

impl Waiters {
    /// Registers a request. A table that was closed answers at once.
    pub(super) fn register(waiters: &Arc<Waiters>, id: RequestId) -> Waiter {
        let (sender, receiver) = oneshot::channel();
        let mut shard = waiters.shard(id);
        // Read under the shard's lock, which `close` takes after setting it: no waiter slips in behind.
        if !waiters.closed.load(Ordering::SeqCst) {
            let earlier = shard.insert(id, sender);
            assert!(earlier.is_none(), "request {} is registered twice", id.0);
        }
        drop(shard);
        Waiter {
            id,
            receiver,
            waiters: waiters.clone(),
            answered: false,
        }
    }

    /// The applier's answer: the command was done.
    pub fn applied(&self, id: RequestId, applied: Applied) {
        self.answer(id, Answer::Applied(applied));
    }

    /// Whether somebody waits for this.
    #[must_use]
    pub fn is_waiting(&self, id: RequestId) -> bool {
        self.shard(id).contains_key(&id)
    }

    /// The core's answer.
    pub fn outcome(&self, id: RequestId, outcome: Outcome) {
        self.answer(id, Answer::Outcome(outcome));
    }

    /// Tells everybody that the node stops, and everybody who comes later.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for shard in &self.shards {
            lock(shard).clear();
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn answer(&self, id: RequestId, answer: Answer) {
        // Taken out before it is told, so that the waker runs without the lock.
        let waiting = self.shard(id).remove(&id);
        if let Some(sender) = waiting {
            // The client may hang up at this very moment.
            let _ = sender.send(answer);
        }
    }

    fn shard(&self, id: RequestId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[id.0 as usize % SHARDS])
    }
}

/// A map whose holder panicked is still a valid map.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request's place in the table, given up when dropped.
pub(super) struct Waiter {
    id: RequestId,
    receiver: oneshot::Receiver<Answer>,
    waiters: Arc<Waiters>,
    answered: bool,
}

impl Waiter {
    /// The answer; `None` if the node stops.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        let answer = (&mut self.receiver).await.ok();
        self.answered = true;
        answer
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if !self.answered {
            self.waiters.shard(self.id).remove(&self.id);
        }
    }
}
