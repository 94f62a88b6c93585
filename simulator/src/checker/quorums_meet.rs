//! I14, quorums meet: every phase-1 quorum of the configuration meets every phase-2 quorum (Howard et al., *Flexible Paxos*).
//!
//! `quorum` proves this when a configuration is made; here it is tried out, set by set.

use quorum::NodeSet;

use crate::checker::{Verdict, ensure};
use crate::ledger::Quorums;

/// A run begins.
pub(crate) fn check(quorums: &Quorums, nodes: usize) -> Verdict {
    let sets = || (0..1u64 << nodes).map(NodeSet::from_bits);
    for one in sets().filter(|set| quorums.is_phase1(*set)) {
        // The largest set that misses it: if that is no quorum, no smaller one is.
        let rest = NodeSet::first(nodes as u8).minus(one);
        ensure!(
            !quorums.is_phase2(rest),
            QuorumsMeet,
            "the phase-1 quorum {one:?} misses the phase-2 quorum {rest:?}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_that_miss_each_other_are_noticed() {
        let counts = |one, two| Quorums::tabulate(5, move |set| set.len() >= one, move |set| set.len() >= two);
        assert!(check(&counts(4, 2), 5).is_ok());
        assert!(check(&counts(3, 3), 5).is_ok());
        assert!(check(&counts(3, 2), 5).is_err());
    }
}
