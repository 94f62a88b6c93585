//! The one form that every quorum system compiles to: a tree of thresholds over members.
//!
//! "Any of" is a threshold of 1, "all of" one of `n`, a weighted vote a threshold with weights, a joint configuration an
//! "all of" two trees. A tree of thresholds has an exact dual, so which failures it survives and which other rule it meets
//! follow from the rule itself, not from the sizes of its quorums: sizes are never enough (two quorums of a grid of the
//! same sizes may or may not meet).

use crate::NodeSet;
use alloc::vec::Vec;
use core::fmt;

/// Which sets of members are enough.
#[derive(Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum Rule {
    /// The member with this index.
    Node(u8),
    /// Children whose weights add up to at least `k`.
    Threshold {
        /// The least sum of weights, from 1 to the sum of all weights.
        k: u32,
        /// Each child with its weight, from 1. A member may occur below several children.
        of: Vec<(u32, Rule)>,
    },
}

/// Why a [`Rule`] cannot be used.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[non_exhaustive]
pub enum RuleFault {
    /// A member that is not in the universe.
    Foreign(u8),
    /// A threshold of 0, which the empty set would satisfy, or a child without weight.
    Zero,
    /// A threshold above the sum of the weights, which nothing satisfies.
    OutOfReach {
        /// The threshold.
        k: u32,
        /// The sum of the weights below it.
        total: u64,
    },
    /// Weights of one threshold that add up to more than [`Rule::MAX_TOTAL_WEIGHT`].
    TooHeavy(u64),
    /// More than [`Rule::MAX_TERMS`] nodes of the tree, or deeper than [`Rule::MAX_DEPTH`].
    TooLarge,
}

impl Rule {
    /// The largest sum of weights below one threshold.
    pub const MAX_TOTAL_WEIGHT: u64 = 1 << 16;
    /// The largest number of thresholds and members, each counted as often as it occurs.
    pub const MAX_TERMS: usize = 4096;
    /// The largest number of levels.
    pub const MAX_DEPTH: usize = 32;

    /// At least `k` of the children, each with weight 1.
    #[must_use]
    pub fn at_least(k: u32, of: impl IntoIterator<Item = Rule>) -> Rule {
        Rule::Threshold {
            k,
            of: of.into_iter().map(|rule| (1, rule)).collect(),
        }
    }

    /// Any one of the children.
    #[must_use]
    pub fn any(of: impl IntoIterator<Item = Rule>) -> Rule {
        Rule::at_least(1, of)
    }

    /// All of the children.
    #[must_use]
    pub fn all(of: impl IntoIterator<Item = Rule>) -> Rule {
        let of: Vec<_> = of.into_iter().map(|rule| (1, rule)).collect();
        Rule::Threshold { k: of.len() as u32, of }
    }

    /// Whether `acks` is enough. Monotone: more members never make it false.
    #[must_use]
    pub fn is_satisfied(&self, acks: NodeSet) -> bool {
        match self {
            Rule::Node(index) => acks.contains(*index),
            Rule::Threshold { k, of } => {
                let k = u64::from(*k);
                let mut sum = 0;
                sum >= k
                    || of.iter().any(|(weight, rule)| {
                        if rule.is_satisfied(acks) {
                            sum += u64::from(*weight);
                        }
                        sum >= k
                    })
            }
        }
    }

    /// The members that occur in the rule.
    #[must_use]
    pub fn leaves(&self) -> NodeSet {
        match self {
            Rule::Node(index) => NodeSet::single(*index),
            Rule::Threshold { of, .. } => of.iter().fold(NodeSet::EMPTY, |set, (_, rule)| set | rule.leaves()),
        }
    }

    /// Whether every member occurs once. The exact closed forms hold for such rules only.
    #[must_use]
    pub fn is_read_once(&self) -> bool {
        self.occurrences() == self.leaves().len()
    }

    fn occurrences(&self) -> usize {
        match self {
            Rule::Node(_) => 1,
            Rule::Threshold { of, .. } => of.iter().map(|(_, rule)| rule.occurrences()).sum(),
        }
    }

    /// Checks that the rule is within `universe`, can be satisfied, and is not satisfied by the empty set.
    ///
    /// # Errors
    /// The first fault met.
    pub fn check(&self, universe: NodeSet) -> Result<(), RuleFault> {
        self.check_below(universe, Rule::MAX_DEPTH, &mut { Rule::MAX_TERMS })
    }

    fn check_below(&self, universe: NodeSet, depth: usize, terms: &mut usize) -> Result<(), RuleFault> {
        if depth == 0 || *terms == 0 {
            return Err(RuleFault::TooLarge);
        }
        *terms -= 1;
        match self {
            Rule::Node(index) if universe.contains(*index) => Ok(()),
            Rule::Node(index) => Err(RuleFault::Foreign(*index)),
            Rule::Threshold { k, of } => {
                let total = total_weight(of);
                if *k == 0 || of.iter().any(|(weight, _)| *weight == 0) {
                    return Err(RuleFault::Zero);
                }
                if u64::from(*k) > total {
                    return Err(RuleFault::OutOfReach { k: *k, total });
                }
                if total > Rule::MAX_TOTAL_WEIGHT {
                    return Err(RuleFault::TooHeavy(total));
                }
                of.iter()
                    .try_for_each(|(_, rule)| rule.check_below(universe, depth - 1, terms))
            }
        }
    }

    /// The dual: satisfied by exactly the sets whose loss leaves this rule unsatisfied, which are also the least sets
    /// that meet all its quorums. Exact for every tree that passes [`Rule::check`], with weights and repeated members.
    ///
    /// # Panics
    /// If a threshold is out of reach, so the rule would not pass [`Rule::check`].
    #[must_use]
    pub fn dual(&self) -> Rule {
        match self {
            Rule::Node(index) => Rule::Node(*index),
            Rule::Threshold { k, of } => {
                let total = total_weight(of);
                assert!(
                    u64::from(*k) <= total,
                    "the dual of a threshold of {k} over a total weight of {total}"
                );
                let k = u32::try_from(total - u64::from(*k) + 1).expect("a checked rule weighs at most 2^16");
                Rule::Threshold {
                    k,
                    of: of.iter().map(|(weight, rule)| (*weight, rule.dual())).collect(),
                }
            }
        }
    }

    /// The rule with every member renamed. Two members may get one name: what fails together becomes one member.
    #[must_use]
    pub fn renamed(&self, name: &dyn Fn(u8) -> u8) -> Rule {
        match self {
            Rule::Node(index) => Rule::Node(name(*index)),
            Rule::Threshold { k, of } => Rule::Threshold {
                k: *k,
                of: of.iter().map(|(weight, rule)| (*weight, rule.renamed(name))).collect(),
            },
        }
    }

    /// An equivalent rule with fewer repeated members: a subtree over one member is that member, and equal children are
    /// one child with the sum of their weights. For rules that pass [`Rule::check`].
    #[must_use]
    pub fn simplified(&self) -> Rule {
        let Rule::Threshold { k, of } = self else {
            return self.clone();
        };
        let leaves = self.leaves();
        if let (1, Some(only)) = (leaves.len(), leaves.iter().next()) {
            return Rule::Node(only);
        }
        let mut children: Vec<(u32, Rule)> = of.iter().map(|(weight, rule)| (*weight, rule.simplified())).collect();
        children.sort_by(|a, b| a.1.cmp(&b.1));
        children.dedup_by(|later, kept| {
            let same = later.1 == kept.1;
            if same {
                kept.0 += later.0;
            }
            same
        });
        match children.as_slice() {
            [(_, only)] => only.clone(),
            _ => Rule::Threshold { k: *k, of: children },
        }
    }
}

/// The sum of the weights of the children, without overflow.
pub(crate) fn total_weight(of: &[(u32, Rule)]) -> u64 {
    of.iter().map(|(weight, _)| u64::from(*weight)).sum()
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule::Threshold { k, of } = self else {
            let Rule::Node(index) = self else { return Ok(()) };
            return write!(f, "#{index}");
        };
        write!(f, "{k} of (")?;
        for (position, (weight, rule)) in of.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            match weight {
                1 => write!(f, "{comma}{rule}")?,
                _ => write!(f, "{comma}{weight}*{rule}")?,
            }
        }
        f.write_str(")")
    }
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleFault::Foreign(index) => write!(f, "member #{index} is not in the universe of the quorum system"),
            RuleFault::Zero => f.write_str("a threshold or a weight is 0: the empty set would be a quorum"),
            RuleFault::OutOfReach { k, total } => {
                write!(
                    f,
                    "a threshold of {k} over weights that add up to {total} is never reached: there is no quorum"
                )
            }
            RuleFault::TooHeavy(total) => {
                write!(
                    f,
                    "the weights below a threshold add up to {total}, the most is {}",
                    Rule::MAX_TOTAL_WEIGHT
                )
            }
            RuleFault::TooLarge => write!(
                f,
                "the rule has more than {} terms or more than {} levels",
                Rule::MAX_TERMS,
                Rule::MAX_DEPTH
            ),
        }
    }
}

impl core::error::Error for RuleFault {}
