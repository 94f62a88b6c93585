//! How long a quorum takes to answer.

use crate::{NodeSet, Phase, QuorumSystem};

/// The time in which the fastest quorum of `phase` answers member `from`: the smallest, over quorums, of the largest
/// round trip to one of its members. Phase 2 is what a commit waits for, phase 1 what an election waits for.
///
/// `round_trip[i]` is the round trip from `from` to member `i`, in any unit; `u64::MAX`, or no entry, is a member that
/// does not answer. `from` itself answers in no time, and need not be in the quorum (L5). `None` if no quorum can answer.
#[must_use]
pub fn commit_cost(system: &dyn QuorumSystem, phase: Phase, from: u8, round_trip: &[u64]) -> Option<u64> {
    let mut cost = [u64::MAX; NodeSet::CAPACITY];
    for (own, given) in cost.iter_mut().zip(round_trip) {
        *own = *given;
    }
    if let Some(own) = cost.get_mut(usize::from(from)) {
        *own = 0;
    }
    let quorum = system.pick(phase, &cost)?;
    quorum.iter().map(|member| cost[usize::from(member)]).max()
}
