//! How long a quorum takes to answer, and so what a configuration makes its clients wait.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::{Configuration, Member, NodeId, NodeSet, Phase, QuorumSystem};

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

/// Round trips between nodes as they were measured, in microseconds.
#[derive(Clone, Eq, PartialEq, Debug, Default)]
pub struct RoundTrips {
    nodes: BTreeMap<(NodeId, NodeId), u64>,
    /// The shortest between two regions: a guess for nodes that nobody has measured yet.
    regions: BTreeMap<(String, String), u64>,
}

impl RoundTrips {
    /// Notes what `from` measured to `to`; a later measurement of the pair replaces an earlier one.
    pub fn note(&mut self, from: &Member, to: &Member, micros: u64) {
        self.nodes.insert((from.node, to.node), micros);
        let pair = (from.region.clone(), to.region.clone());
        let shortest = self.regions.entry(pair).or_insert(micros);
        *shortest = micros.min(*shortest);
    }

    /// The round trip from one node to another: as `from` measured it, or as `to` did, or else the shortest that was
    /// measured between their regions. `None` if nothing is known; a node reaches itself in no time.
    #[must_use]
    pub fn between(&self, from: &Member, to: &Member) -> Option<u64> {
        if from.node == to.node {
            return Some(0);
        }
        let pair = |a: &Member, b: &Member| self.nodes.get(&(a.node, b.node)).copied();
        let regions = |a: &Member, b: &Member| self.regions.get(&(a.region.clone(), b.region.clone())).copied();
        pair(from, to)
            .or_else(|| pair(to, from))
            .or_else(|| regions(from, to))
            .or_else(|| regions(to, from))
    }
}

/// What a configuration makes its clients wait if a node of a region leads. Times are microseconds; disks and work on the
/// nodes come on top.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Prediction {
    /// The region.
    pub region: String,
    /// The node of the region that commits soonest, and so should lead there.
    pub leader: NodeId,
    /// A commit: a round trip to the nearest phase 2 quorum. `None` if too few round trips are known.
    pub commit: Option<u64>,
    /// An election, once the silence of the old leader was noticed: a round of questions, which needs both phases, and
    /// phase 1.
    pub election: Option<u64>,
}

/// A prediction for each region that has a voter that may lead, in the order of the first one.
#[must_use]
pub fn predict(configuration: &Configuration, round_trips: &RoundTrips) -> Vec<Prediction> {
    let mut best: Vec<Prediction> = vec![];
    for index in configuration.leaders() {
        let next = prediction(configuration, index, round_trips);
        match best.iter_mut().find(|known| known.region == next.region) {
            Some(known) => {
                let cost = |prediction: &Prediction| {
                    let unknown = u64::MAX;
                    (
                        prediction.commit.unwrap_or(unknown),
                        prediction.election.unwrap_or(unknown),
                    )
                };
                if cost(&next) < cost(known) {
                    *known = next;
                }
            }
            None => best.push(next),
        }
    }
    best
}

fn prediction(configuration: &Configuration, leader: u8, round_trips: &RoundTrips) -> Prediction {
    let members = configuration.members();
    let member = &members[usize::from(leader)];
    let costs: Vec<u64> = members
        .iter()
        .map(|to| round_trips.between(member, to).unwrap_or(u64::MAX))
        .collect();
    let cost = |phase| commit_cost(configuration, phase, leader, &costs);
    let (phase1, phase2) = (cost(Phase::One), cost(Phase::Two));
    Prediction {
        region: member.region.clone(),
        leader: member.node,
        commit: phase2,
        election: phase1.zip(phase2).map(|(one, two)| one.max(two).saturating_add(one)),
    }
}
