//! Looks at all nodes while everything goes wrong: nobody ends by itself, and who has applied the same has the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use node::status::NodeStatus;
use tokio::sync::watch;

use crate::book::{Book, Violation};
use crate::cluster::Cluster;

const POLL: Duration = Duration::from_millis(200);
/// Digests that are remembered, newest slots first.
const SLOTS: usize = 10_000;

const ALIVE: &str = "no node fails by itself";
const SAME: &str = "who has applied the same slots has the same state";

/// Which digest the state has at a slot, and who said so.
#[derive(Default)]
pub(crate) struct Digests(BTreeMap<u64, (String, u64)>);

impl Digests {
    /// Whether this agrees with what others said.
    fn add(&mut self, status: &NodeStatus) -> Result<(), Violation> {
        if status.digest.is_empty() || !status.recovered {
            return Ok(());
        }
        let own = (status.digest.clone(), status.node);
        let (digest, node) = self.0.entry(status.digest_slot).or_insert(own);
        if *digest != status.digest {
            let text = format!(
                "after slot {} the digest is {digest} at node {node}, and {} at node {}",
                status.digest_slot, status.digest, status.node
            );
            return Err(Violation::new(SAME, text));
        }
        if self.0.len() > SLOTS {
            self.0.pop_first();
        }
        Ok(())
    }
}

/// Watches until it is told that the round is over.
pub(crate) async fn run(cluster: Arc<Cluster>, book: Arc<Book>, mut over: watch::Receiver<bool>) {
    let mut digests = Digests::default();
    while !*over.borrow() {
        for status in cluster.statuses().await {
            if let Err(violation) = digests.add(&status) {
                book.accuse(violation);
            }
        }
        for node in cluster.plan.nodes() {
            let obituary = cluster.seat(node).obituary();
            if let Some(text) = obituary {
                book.accuse(Violation::new(ALIVE, text));
            }
        }
        // An error means that the round is gone.
        let _ = tokio::time::timeout(POLL, over.wait_for(|over| *over)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_states_after_one_slot_are_found() {
        let mut digests = Digests::default();
        let mut says = |node, digest_slot, digest: &str| {
            digests.add(&NodeStatus {
                node,
                digest_slot,
                digest: digest.to_owned(),
                recovered: true,
                ..NodeStatus::default()
            })
        };
        assert_eq!(says(1, 10, "a"), Ok(()));
        assert_eq!(says(2, 10, "a"), Ok(()));
        assert_eq!(says(2, 11, "b"), Ok(()));
        let violation = says(3, 11, "c").expect_err("another state");
        assert!(
            violation.text.contains("after slot 11 the digest is b at node 2"),
            "{violation}"
        );
    }
}
