//! Leaving in order: a node that is about to stop sends its clients elsewhere first.
//!
//! A node that only stops breaks the requests that balancers send it until they notice. A drain has them notice first: the
//! node fails `/readyz`, hands leadership over (E4), serves on for as long as that news travels, then shuts the door to
//! clients and finishes what they have asked. It votes on until it is stopped, and only a restart ends a drain: whoever
//! drains a node wants it gone.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tracing::{info, warn};

use crate::requests::Requests;
use crate::status::Role;

/// How often a drained node looks whether it leads again: the others may have had nobody better.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a node waits for another one to take over.
pub const HAND_OVER: Duration = Duration::from_secs(2);

/// How to drain.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long to serve on while the news travels that this node is not ready.
    pub linger: Duration,
    /// How long the whole may take, lingering included.
    pub timeout: Duration,
}

/// What a drain has come to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Whether no client is left.
    pub done: bool,
    /// Whether this node leads although it should not: no other could.
    pub leads: bool,
    /// Requests that wait for their answer.
    pub waiting: usize,
}

/// Drains this node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain {
    begun: watch::Sender<bool>,
    shut: watch::Sender<bool>,
    empty: watch::Receiver<bool>,
}

/// What the other parts of the node have to do with a drain.
#[derive(Debug)]
pub struct Signs {
    /// Turns true when a drain begins.
    pub begun: watch::Receiver<bool>,
    /// Turns true when no more clients are to be served.
    pub shut: watch::Receiver<bool>,
    /// To be told when the last client is gone.
    pub empty: watch::Sender<bool>,
}

impl Drain {
    /// A node that is not drained.
    #[must_use]
    pub fn new() -> (Drain, Signs) {
        let (begun, beginning) = watch::channel(false);
        let (shut, shutting) = watch::channel(false);
        let (emptied, empty) = watch::channel(false);
        let signs = Signs {
            begun: beginning,
            shut: shutting,
            empty: emptied,
        };
        (Drain { begun, shut, empty }, signs)
    }

    /// No more clients, whether the node is drained or stops without.
    pub fn shut(&self) {
        self.shut.send_replace(true);
    }

    /// Drains the node, and resolves when its clients are gone or the time is over; what is still under way then goes on.
    /// Asking again waits for the same drain.
    pub async fn run(&self, requests: &Requests, terms: Terms) -> Drained {
        let now = Instant::now();
        let (linger, end) = (now + terms.linger, now + terms.timeout);
        if !self.begun.send_replace(true) {
            info!(linger = ?terms.linger, timeout = ?terms.timeout, "draining: this node sends its clients elsewhere");
            tokio::spawn(keep_from_leading(requests.clone()));
        }
        leave_to_another(requests).await;
        sleep(linger.saturating_duration_since(Instant::now())).await;
        // It may have stood when the drain began, and led a moment later.
        leave_to_another(requests).await;
        self.shut();
        let mut empty = self.empty.clone();
        let done = matches!(timeout_at(end, empty.wait_for(|empty| *empty)).await, Ok(Ok(_)));
        let waiting = requests.waiting();
        if done {
            info!("drained: no client is left");
        } else {
            warn!(waiting, "the time to drain is over, and clients are left");
        }
        Drained {
            done,
            leads: requests.status().role == Role::Leader,
            waiting,
        }
    }
}

/// E4: a leader that leaves hands over first, if any other can lead: its clients see a pause of about two round trips.
pub async fn leave_to_another(requests: &Requests) {
    if requests.status().role != Role::Leader {
        return;
    }
    match requests.hand_over(None, HAND_OVER).await {
        Ok(to) => info!(%to, "another node leads"),
        Err(stayed) => info!(reason = %stayed, "this node is about to stop, and no other took over"),
    }
}

/// Hands leadership over whenever a drained node has it again. Ends with the runtime.
async fn keep_from_leading(requests: Requests) {
    let mut rounds = interval(AGAIN);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first turn is the drain's own.
    rounds.tick().await;
    loop {
        rounds.tick().await;
        leave_to_another(&requests).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::status::NodeStatus;

    fn terms(linger: u64, timeout: u64) -> Terms {
        Terms {
            linger: Duration::from_millis(linger),
            timeout: Duration::from_millis(timeout),
        }
    }

    #[tokio::test]
    async fn a_drain_ends_when_the_last_client_is_gone() {
        let (requests, _desk) = crate::requests::open(Clock::start(), 1, NodeStatus::default());
        let (drain, mut signs) = Drain::new();
        let clients = tokio::spawn(async move {
            assert!(signs.begun.wait_for(|begun| *begun).await.is_ok());
            assert!(signs.shut.wait_for(|shut| *shut).await.is_ok());
            signs.empty.send_replace(true);
        });
        let drained = drain.run(&requests, terms(1, 60_000)).await;
        clients.await.expect("no panic");
        assert!(drained.done && !drained.leads, "{drained:?}");
        // Whoever asks again is told at once.
        assert_eq!(drain.run(&requests, terms(0, 60_000)).await, drained);
    }

    #[tokio::test]
    async fn clients_that_stay_do_not_hold_the_answer_up_for_ever() {
        let (requests, _desk) = crate::requests::open(Clock::start(), 1, NodeStatus::default());
        let (drain, signs) = Drain::new();
        let drained = drain.run(&requests, terms(0, 1)).await;
        assert!(!drained.done && *signs.shut.borrow(), "{drained:?}");
    }
}
