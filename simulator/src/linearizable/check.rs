//! All keys of a history.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::linearizable::history::{History, Operation};
use crate::linearizable::model::Model;
use crate::linearizable::search::{Outcome, Search};
use crate::linearizable::window::{self, Window};

/// What is known of a history.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum Verdict {
    /// Every key's operations have an order.
    Linearizable,
    /// No order was found on these keys within the limit of steps: this is not a pass.
    Undecided(Vec<Bytes>),
    /// The operations on this key have no order.
    NotLinearizable(Bytes, Window),
}

/// What was judged, and the verdict.
#[derive(Clone, Debug)]
pub struct Report {
    /// Operations that were judged.
    pub operations: usize,
    /// Those of them whose outcome is unknown.
    pub unknown: usize,
    /// Keys.
    pub keys: usize,
    /// Operations that were tried in some place.
    pub steps: u64,
    /// The verdict.
    pub verdict: Verdict,
}

/// Judges a history, with at most `limit` steps for each key.
#[must_use]
pub fn check<M: Model>(history: &History<M>, limit: u64) -> Report {
    let keys = by_key(history);
    let mut report = Report {
        operations: keys.values().map(Vec::len).sum(),
        unknown: keys.values().flatten().filter(|op| op.answered.is_none()).count(),
        keys: keys.len(),
        steps: 0,
        verdict: Verdict::Linearizable,
    };
    let mut undecided = Vec::new();
    for (key, operations) in keys {
        let mut left = limit;
        let outcome = Search::new(M::State::default(), &operations).find(&mut left);
        report.steps += limit - left;
        match outcome {
            Outcome::Ordered => {}
            Outcome::Undecided => undecided.push(key.clone()),
            Outcome::Impossible => {
                report.verdict = Verdict::NotLinearizable(key.clone(), window::narrow(&operations, limit));
                return report;
            }
        }
    }
    if !undecided.is_empty() {
        report.verdict = Verdict::Undecided(undecided);
    }
    report
}

/// What can be judged alone.
pub(super) fn by_key<M: Model>(history: &History<M>) -> BTreeMap<&Bytes, Vec<&Operation<M>>> {
    let mut keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for operation in history.operations() {
        keys.entry(&operation.key).or_default().push(operation);
    }
    keys
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            operations,
            unknown,
            keys,
            steps,
            verdict,
        } = self;
        let counts = format!("{operations} operations ({unknown} unknown) on {keys} keys, {steps} steps");
        match verdict {
            Verdict::Linearizable => write!(f, "linearizable: {counts}"),
            Verdict::Undecided(keys) => write!(f, "undecided on {keys:?}: {counts}"),
            Verdict::NotLinearizable(key, window) => {
                write!(
                    f,
                    "not linearizable: no order explains what was seen of {key:?} ({counts})\n{window}"
                )
            }
        }
    }
}
