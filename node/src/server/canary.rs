//! A write that changes nothing, now and then, through everything that a client's write goes through.
//!
//! While nobody writes, nobody notices that nobody could. The canary is a transaction without operations: it is proposed,
//! chosen, synced and applied, and leaves revision and keys as they are. It answers for this node, so a node that is not
//! ready for clients is not asked.

use std::time::Duration;

use storage::machine::{Command, Txn};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::metrics::CanaryMetrics;
use crate::requests::Requests;

/// Runs until `stop` turns true. `every` zero: never asks.
pub(super) async fn run(
    every: Duration,
    patience: Duration,
    ready_lag: u64,
    requests: Requests,
    metrics: CanaryMetrics,
    mut stop: watch::Receiver<bool>,
) {
    if every.is_zero() {
        return;
    }
    let command = Command::Txn(Txn::default()).encode();
    let mut rounds = interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = rounds.tick() => {}
        }
        let status = requests.status();
        if !status.recovered || status.draining || status.catching_up.is_some() || status.lag() > ready_lag {
            continue;
        }
        let asked = metrics.probe(requests.propose(command.clone(), patience));
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            result = asked => if let Err(failure) = result {
                debug!(%failure, "the canary was not written");
            },
        }
    }
}
