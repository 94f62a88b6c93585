//! The question the protocol asks: are these acknowledgements enough?

use crate::compiled::Compiled;
use crate::{NodeSet, Rule, RuleFault};
use alloc::borrow::Cow;
use core::fmt;

/// The two kinds of quorum of Flexible Paxos: every phase 1 quorum must meet every phase 2 quorum. Two quorums of the same
/// phase need not meet.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum Phase {
    /// Electing a leader: promises.
    One,
    /// Choosing a value: votes.
    Two,
}

impl Phase {
    /// Both phases, in order.
    pub const BOTH: [Phase; 2] = [Phase::One, Phase::Two];

    /// 0 for phase 1, 1 for phase 2.
    pub(crate) const fn position(self) -> usize {
        match self {
            Phase::One => 0,
            Phase::Two => 1,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::One => "phase 1",
            Phase::Two => "phase 2",
        })
    }
}

/// What is known of a vote.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Verdict {
    /// A quorum has acknowledged.
    Won,
    /// So many have refused that no quorum can acknowledge any more.
    Lost,
    /// Neither yet.
    Pending,
}

/// Which sets of members may decide.
///
/// An implementation must be monotone (more members never make a quorum into none), must never call the empty set a
/// quorum, and must ignore members outside its universe. Everything else follows from `is_quorum`, so the provided methods
/// are not meant to be overridden.
pub trait QuorumSystem: Send + Sync + fmt::Debug {
    /// The members that count.
    fn universe(&self) -> NodeSet;

    /// Whether `acks` holds a quorum of `phase`.
    fn is_quorum(&self, phase: Phase, acks: NodeSet) -> bool;

    /// The same as a tree of thresholds, for analysis and for display.
    fn rule(&self, phase: Phase) -> Cow<'_, Rule>;

    /// Whether `acks` holds a phase 1 quorum.
    fn is_phase1_quorum(&self, acks: NodeSet) -> bool {
        self.is_quorum(Phase::One, acks)
    }

    /// Whether `acks` holds a phase 2 quorum.
    fn is_phase2_quorum(&self, acks: NodeSet) -> bool {
        self.is_quorum(Phase::Two, acks)
    }

    /// How a vote stands. A member in both sets has acknowledged: what it said is not taken back.
    fn verdict(&self, phase: Phase, acks: NodeSet, nacks: NodeSet) -> Verdict {
        if self.is_quorum(phase, acks) {
            Verdict::Won
        } else if self.is_quorum(phase, self.universe().minus(nacks) | acks) {
            Verdict::Pending
        } else {
            Verdict::Lost
        }
    }

    /// The largest `v` such that the members whose index is at least `v` hold a quorum; 0 if there is none.
    ///
    /// `indexes[i]` belongs to member `i`; members beyond the slice have reached nothing. Allocates nothing.
    fn committed_index(&self, phase: Phase, indexes: &[u64]) -> u64 {
        let mut order = [(0, 0); NodeSet::CAPACITY];
        let order = sorted_members(indexes, &mut order);
        let mut acks = NodeSet::EMPTY;
        for group in order.chunk_by(|a, b| a.0 == b.0).rev() {
            acks.extend(group.iter().map(|(_, member)| *member));
            if self.is_quorum(phase, acks) {
                return group[0].0;
            }
        }
        0
    }

    /// A quorum whose dearest member is as cheap as can be, and of which no member can be left out. Equal costs are
    /// settled in favour of the lower index, so the answer is the same everywhere.
    ///
    /// `cost[i]` belongs to member `i`, in any unit. `u64::MAX`, or no entry, is a member that cannot be had. `None` if
    /// there is no quorum without such members. Allocates nothing.
    fn pick(&self, phase: Phase, cost: &[u64]) -> Option<NodeSet> {
        let mut order = [(0, 0); NodeSet::CAPACITY];
        let order = sorted_members(cost, &mut order);
        let mut chosen = NodeSet::EMPTY;
        let mut taken = 0;
        while !self.is_quorum(phase, chosen) {
            let (cost, member) = *order.get(taken)?;
            if cost == u64::MAX {
                return None;
            }
            chosen.insert(member);
            taken += 1;
        }
        for (_, member) in order[..taken].iter().rev() {
            let less = chosen.minus(NodeSet::single(*member));
            if self.is_quorum(phase, less) {
                chosen = less;
            }
        }
        Some(chosen)
    }
}

/// The values with the members they belong to, ascending, lower members first among equals.
fn sorted_members<'a>(values: &[u64], order: &'a mut [(u64, u8); NodeSet::CAPACITY]) -> &'a mut [(u64, u8)] {
    let count = values.len().min(NodeSet::CAPACITY);
    for (member, (slot, value)) in order.iter_mut().zip(values).enumerate() {
        *slot = (*value, member as u8);
    }
    let order = &mut order[..count];
    order.sort_unstable();
    order
}

/// A pair of rules. For analysis and as the engine of [`Configuration`](crate::Configuration): each rule is well-formed,
/// but nothing says that the two meet. [`validity::intersection`](crate::validity::intersection) answers that.
#[derive(Clone, Debug)]
pub struct RuleSystem {
    universe: NodeSet,
    rules: [Rule; 2],
    compiled: [Compiled; 2],
}

impl RuleSystem {
    /// The system with these rules over `universe`.
    ///
    /// # Errors
    /// The first fault of a rule that is not within the universe, that nothing satisfies, or that the empty set does.
    pub fn new(universe: NodeSet, phase1: Rule, phase2: Rule) -> Result<RuleSystem, RuleFault> {
        phase1.check(universe)?;
        phase2.check(universe)?;
        let compiled = [Compiled::new(&phase1), Compiled::new(&phase2)];
        Ok(RuleSystem {
            universe,
            rules: [phase1, phase2],
            compiled,
        })
    }

    /// The rule of a phase, borrowed.
    #[must_use]
    pub fn phase(&self, phase: Phase) -> &Rule {
        &self.rules[phase.position()]
    }
}

impl QuorumSystem for RuleSystem {
    fn universe(&self) -> NodeSet {
        self.universe
    }

    #[inline]
    fn is_quorum(&self, phase: Phase, acks: NodeSet) -> bool {
        self.compiled[phase.position()].is_satisfied(acks)
    }

    fn rule(&self, phase: Phase) -> Cow<'_, Rule> {
        Cow::Borrowed(self.phase(phase))
    }
}
