//! Three lanes of trouble that go on side by side: the network, the processes, and an operator who changes things meanwhile.
//!
//! Each draws from a stream of random numbers of its own: a seed repeats what is done, in each lane in the same order; when it is done
//! depends on how long things take.

mod lives;
mod network;
mod operator;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::book::Book;
use crate::cluster::Cluster;

pub(crate) use lives::Lives;
pub(crate) use network::Network;
pub(crate) use operator::Operator;

/// What a lane needs.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) book: Arc<Book>,
    pub(crate) score: Arc<Score>,
    /// True when the storm is over.
    pub(crate) over: watch::Receiver<bool>,
}

/// What happened, by kind.
#[derive(Default)]
pub(crate) struct Score {
    faults: Mutex<BTreeMap<&'static str, u64>>,
    changes: Mutex<BTreeMap<&'static str, Tries>>,
}

/// How often something succeeded, and how often it did not, or nobody knows.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Tries {
    pub(crate) done: u64,
    pub(crate) failed: u64,
}

impl Score {
    pub(crate) fn fault(&self, kind: &'static str) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        *faults.entry(kind).or_default() += 1;
    }

    pub(crate) fn change(&self, kind: &'static str, done: bool) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = changes.entry(kind).or_default();
        tries.done += u64::from(done);
        tries.failed += u64::from(!done);
    }

    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn changes(&self) -> BTreeMap<&'static str, Tries> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Scene {
    pub(crate) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Waits so long, or until the storm is over.
    pub(crate) async fn rest(&self, span: Duration) {
        let mut over = self.over.clone();
        // An error means that whoever ends the storm is gone; then it is over too.
        let _ = tokio::time::timeout(span, over.wait_for(|over| *over)).await;
    }

    /// Notes a fault in counts and history.
    pub(crate) fn strike(&self, kind: &'static str, whom: &str) {
        self.score.fault(kind);
        self.book.note(&format!("{kind}: {whom}"));
    }
}
