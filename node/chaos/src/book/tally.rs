//! What was counted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::wire::Outcome;

/// Counts of operations and keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// By kind of operation: done, refused, unknown.
    pub(crate) operations: BTreeMap<&'static str, Ends>,
    /// Keys that were judged.
    pub(crate) keys: u64,
    /// Those of them for which the search found neither an order nor that there is none.
    pub(crate) undecided: u64,
    /// The longest time in which nobody at all was answered, while it was measured.
    pub(crate) longest_pause: Duration,
}

/// How operations ended.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Ends {
    pub(crate) done: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
}

impl Tally {
    pub(super) fn count(&mut self, kind: &'static str, outcome: &Outcome) {
        let ends = self.operations.entry(kind).or_default();
        match outcome {
            Outcome::Done(_) => ends.done += 1,
            Outcome::Refused(_) => ends.refused += 1,
            Outcome::Unknown(_) => ends.unknown += 1,
        }
    }

    pub(crate) fn done(&self) -> u64 {
        self.operations.values().map(|ends| ends.done).sum()
    }

    /// Adds what another run counted.
    pub(crate) fn merge(&mut self, other: &Tally) {
        for (kind, ends) in &other.operations {
            let sum = self.operations.entry(kind).or_default();
            sum.done += ends.done;
            sum.refused += ends.refused;
            sum.unknown += ends.unknown;
        }
        self.keys += other.keys;
        self.undecided += other.undecided;
        self.longest_pause = self.longest_pause.max(other.longest_pause);
    }
}
