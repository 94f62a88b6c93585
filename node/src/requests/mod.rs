//! How the client API asks the node: one call per question, one answer on every path.
//!
//! ```text
//! api ── propose, read_barrier ──▶ Requests ── Input ──▶ driver ──▶ core
//!          ▲                          │ waiter                        │
//!          └────────── answer ────── Waiters ◀── applier (commands) ◀─┤
//!                                       ▲────── driver (refusals) ◀───┘
//! ```
//!
//! A request is numbered, its waiter is registered and its input is queued under one lock, so that commands reach the core in
//! the order of their numbers, without holes (X1). A full queue is an answer, not a wait. Whoever loses interest (a client that hangs
//! up drops the future) takes its waiter along; the command itself may still be done.
//!
//! Not here: retries. The core puts a command to one leader after the other until its deadline; what is unknown then is the
//! client's to resolve.

mod failure;
mod hand_over;
mod waiters;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use paxos::{Input, Outcome, RequestId, Slot, Waivers};
use quorum::{Configuration, Epoch};
use storage::machine::Applied;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

pub use failure::Failure;
pub use hand_over::{HandOvers, Stayed};
pub use waiters::{Answer, Waiters};

use crate::clock::Clock;
use crate::status::NodeStatus;

/// How much longer than the core a waiter waits: the core's own answer at the deadline says more than a timeout does.
const GRACE: Duration = Duration::from_millis(75);

/// What the API needs from the node. Cheap to clone.
#[derive(Clone)]
pub struct Requests {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    gate: Mutex<Gate>,
    waiters: Arc<Waiters>,
    status: watch::Receiver<Arc<NodeStatus>>,
}

/// What must happen in one step, so that inputs are queued in the order of their numbers.
struct Gate {
    numbers: Numbers,
    inputs: mpsc::Sender<Input>,
}

/// The last command's number, and that of the last request which is none.
#[derive(Default)]
struct Numbers {
    commands: u64,
    apart: u64,
}

impl Numbers {
    fn command(&mut self) -> RequestId {
        self.commands += 1;
        RequestId(self.commands)
    }

    fn apart(&mut self) -> RequestId {
        self.apart += 1;
        RequestId::apart(self.apart)
    }
}

/// A change of configuration that is chosen and takes effect.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Reconfigured {
    /// The number of the configuration.
    pub epoch: Epoch,
    /// The slot in which it was chosen.
    pub slot: Slot,
    /// The first slot that it governs.
    pub from: Slot,
}

/// The driver's end.
pub struct Desk {
    /// Requests in ascending order of their numbers.
    pub inputs: mpsc::Receiver<Input>,
    /// Who is waiting; the applier and the driver answer.
    pub waiters: Arc<Waiters>,
    /// Where the driver publishes what it knows about itself.
    pub status: watch::Sender<Arc<NodeStatus>>,
}

/// Opens both ends. At most `capacity` requests wait for the driver; more are refused as overload.
#[must_use]
pub fn open(clock: Clock, capacity: usize, status: NodeStatus) -> (Requests, Desk) {
    let (sender, inputs) = mpsc::channel(capacity);
    let (publisher, status) = watch::channel(Arc::new(status));
    let waiters = Arc::new(Waiters::default());
    let gate = Mutex::new(Gate {
        numbers: Numbers::default(),
        inputs: sender,
    });
    let shared = Arc::new(Shared {
        clock,
        gate,
        waiters: waiters.clone(),
        status,
    });
    (
        Requests { shared },
        Desk {
            inputs,
            waiters,
            status: publisher,
        },
    )
}

impl Requests {
    /// Has a command done, and resolves when this node has applied it. `deadline` counts from now.
    ///
    /// # Errors
    /// [`Failure::Refused`]: certainly not done. [`Failure::Unknown`]: perhaps done. [`Failure::Stopping`]: perhaps done.
    pub async fn propose(&self, command: Bytes, deadline: Duration) -> Result<Applied, Failure> {
        let at = self.shared.clock.now() + deadline;
        let waiter = self.submit(Numbers::command, |id| Input::Propose {
            id,
            payload: command,
            deadline: at,
        })?;
        match self.wait(waiter, deadline).await? {
            Answer::Applied(applied) => Ok(applied),
            Answer::Outcome(Outcome::Refused(refusal)) => Err(Failure::Refused(refusal)),
            Answer::Outcome(Outcome::Unknown(doubt)) => Err(Failure::Unknown(doubt)),
            Answer::Outcome(other @ (Outcome::Read(_) | Outcome::Reconfigured { .. })) => {
                panic!("a command was answered as something else: {other:?}")
            }
        }
    }

    /// After `Ok`, this node's state is new enough for a read that sees every write acknowledged before this call.
    ///
    /// # Errors
    /// As [`Requests::propose`]; a read has no effect, so the difference between refused and unknown does not matter.
    pub async fn read_barrier(&self, deadline: Duration) -> Result<Slot, Failure> {
        let at = self.shared.clock.now() + deadline;
        let waiter = self.submit(Numbers::apart, |id| Input::Read { id, deadline: at })?;
        match self.wait(waiter, deadline).await? {
            Answer::Outcome(Outcome::Read(slot)) => Ok(slot),
            Answer::Outcome(Outcome::Refused(refusal)) => Err(Failure::Refused(refusal)),
            Answer::Outcome(Outcome::Unknown(doubt)) => Err(Failure::Unknown(doubt)),
            Answer::Outcome(other @ Outcome::Reconfigured { .. }) => {
                panic!("a read was answered as a change of configuration: {other:?}")
            }
            Answer::Applied(applied) => panic!("a read was answered as a command at revision {}", applied.revision),
        }
    }

    /// Has the cluster governed by another configuration, and resolves when that is chosen and takes effect.
    ///
    /// # Errors
    /// As [`Requests::propose`]. Asking again does no harm: the configuration's epoch says which one it follows (R2).
    pub async fn reconfigure(
        &self,
        configuration: Configuration,
        waivers: Waivers,
        deadline: Duration,
    ) -> Result<Reconfigured, Failure> {
        let at = self.shared.clock.now() + deadline;
        let waiter = self.submit(Numbers::apart, |id| Input::Reconfigure {
            id,
            configuration,
            waivers,
            deadline: at,
        })?;
        match self.wait(waiter, deadline).await? {
            Answer::Outcome(Outcome::Reconfigured { epoch, slot, from }) => Ok(Reconfigured { epoch, slot, from }),
            Answer::Outcome(Outcome::Refused(refusal)) => Err(Failure::Refused(refusal)),
            Answer::Outcome(Outcome::Unknown(doubt)) => Err(Failure::Unknown(doubt)),
            other @ (Answer::Outcome(Outcome::Read(_)) | Answer::Applied(_)) => {
                panic!("a change of configuration was answered as something else: {other:?}")
            }
        }
    }

    /// What the driver last published about this node.
    #[must_use]
    pub fn status(&self) -> Arc<NodeStatus> {
        self.shared.status.borrow().clone()
    }

    /// Requests that wait for their answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.waiters.len()
    }

    fn submit(
        &self,
        number: fn(&mut Numbers) -> RequestId,
        input: impl FnOnce(RequestId) -> Input,
    ) -> Result<waiters::Waiter, Failure> {
        let shared = &self.shared;
        // A panic elsewhere under this lock leaves the counter valid.
        let mut gate = shared.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let Gate { numbers, inputs } = &mut *gate;
        let permit = match inputs.try_reserve() {
            Ok(permit) => permit,
            Err(mpsc::error::TrySendError::Full(())) => return Err(Failure::Refused(paxos::Refusal::Overloaded)),
            Err(mpsc::error::TrySendError::Closed(())) => return Err(Failure::Stopping),
        };
        let id = number(numbers);
        let waiter = Waiters::register(&shared.waiters, id);
        permit.send(input(id));
        Ok(waiter)
    }

    async fn wait(&self, mut waiter: waiters::Waiter, deadline: Duration) -> Result<Answer, Failure> {
        match timeout(deadline + GRACE, waiter.answer()).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Failure::Stopping),
            Err(_elapsed) => Err(Failure::Unknown(paxos::Doubt::TimedOut)),
        }
    }
}

#[cfg(test)]
mod tests {
    use paxos::{Doubt, Refusal};
    use storage::machine::{PutReply, Reply, Revision};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn applied(revision: i64) -> Applied {
        Applied {
            revision: Revision(revision),
            result: Ok(Reply::Put(PutReply::default())),
        }
    }

    #[tokio::test]
    async fn a_command_is_answered_when_it_is_applied() {
        let (requests, mut desk) = open(Clock::start(), 8, NodeStatus::default());
        let call = tokio::spawn(async move { requests.propose(Bytes::from_static(b"x"), LONG).await });
        let Some(Input::Propose { id, payload, .. }) = desk.inputs.recv().await else {
            panic!("no proposal")
        };
        assert_eq!((id, &payload[..]), (RequestId(1), &b"x"[..]));
        desk.waiters.applied(id, applied(7));
        assert_eq!(call.await.expect("no panic"), Ok(applied(7)));
        assert_eq!(desk.waiters.len(), 0);
    }

    #[tokio::test]
    async fn refusals_and_doubts_reach_their_client() {
        let (requests, mut desk) = open(Clock::start(), 8, NodeStatus::default());
        let read = tokio::spawn({
            let requests = requests.clone();
            async move { requests.read_barrier(LONG).await }
        });
        let Some(Input::Read { id, .. }) = desk.inputs.recv().await else {
            panic!("no read")
        };
        desk.waiters.outcome(id, Outcome::Refused(Refusal::NoQuorum));
        assert_eq!(read.await.expect("no panic"), Err(Failure::Refused(Refusal::NoQuorum)));
        let put = tokio::spawn(async move { requests.propose(Bytes::new(), LONG).await });
        let Some(Input::Propose { id, .. }) = desk.inputs.recv().await else {
            panic!("no proposal")
        };
        assert_eq!(id, RequestId(1), "reads are counted apart");
        desk.waiters.outcome(id, Outcome::Unknown(Doubt::LeaderChanged));
        assert_eq!(
            put.await.expect("no panic"),
            Err(Failure::Unknown(Doubt::LeaderChanged))
        );
    }

    #[tokio::test]
    async fn a_full_queue_is_an_answer_and_leaves_no_waiter() {
        let (requests, mut desk) = open(Clock::start(), 1, NodeStatus::default());
        let mut first = Box::pin(requests.propose(Bytes::new(), LONG));
        assert!(futures_pending(&mut first).await);
        let second = requests.propose(Bytes::new(), LONG).await;
        assert_eq!(second, Err(Failure::Refused(Refusal::Overloaded)));
        assert_eq!(desk.waiters.len(), 1);
        let Some(Input::Propose { id, .. }) = desk.inputs.recv().await else {
            panic!("no proposal")
        };
        desk.waiters.applied(id, applied(2));
        assert_eq!(first.await, Ok(applied(2)));
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_takes_its_waiter_along() {
        let (requests, desk) = open(Clock::start(), 8, NodeStatus::default());
        let mut call = Box::pin(requests.propose(Bytes::new(), LONG));
        assert!(futures_pending(&mut call).await);
        assert_eq!(desk.waiters.len(), 1);
        drop(call);
        assert_eq!(desk.waiters.len(), 0);
        // The command may still be applied: nobody listens, and nothing breaks.
        desk.waiters.applied(RequestId(1), applied(2));
    }

    #[tokio::test]
    async fn a_stopping_node_answers_everybody() {
        let (requests, desk) = open(Clock::start(), 8, NodeStatus::default());
        let mut call = Box::pin(requests.propose(Bytes::new(), LONG));
        assert!(futures_pending(&mut call).await);
        desk.waiters.close();
        assert_eq!(call.await, Err(Failure::Stopping));
        assert_eq!(requests.propose(Bytes::new(), LONG).await, Err(Failure::Stopping));
        drop(desk);
        assert_eq!(requests.read_barrier(LONG).await, Err(Failure::Stopping));
    }

    #[tokio::test]
    async fn a_silent_core_does_not_hold_a_client_beyond_its_deadline() {
        let (requests, desk) = open(Clock::start(), 8, NodeStatus::default());
        let answer = requests.propose(Bytes::new(), Duration::from_millis(1)).await;
        assert_eq!(answer, Err(Failure::Unknown(Doubt::TimedOut)));
        assert_eq!(desk.waiters.len(), 0);
    }

    /// Polls once; whether the future still waits.
    async fn futures_pending<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
    }
}
