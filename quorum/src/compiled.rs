//! A rule in the shape in which it is evaluated, once per acknowledgement on the node's hot path.

use crate::{NodeSet, Rule};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A [`Rule`] as bit masks where its shape allows, as the tree where not. Evaluates to the same as the rule, always.
#[derive(Clone, Debug)]
pub(crate) enum Compiled {
    /// At least `k` bits of the mask.
    Flat { mask: u64, k: u32 },
    /// All bits of any one mask: the full lines of a grid.
    Lines(Box<[u64]>),
    /// At least `k` of the groups, a group being a mask of which enough bits are there: zones, one cell of every row.
    Groups { k: u32, of: Box<[(u64, u32)]> },
    /// Anything else.
    Tree(Rule),
}

impl Compiled {
    pub(crate) fn new(rule: &Rule) -> Compiled {
        if let Some((mask, k)) = flat(rule) {
            return Compiled::Flat { mask, k };
        }
        let Some((k, groups)) = groups(rule) else {
            return Compiled::Tree(rule.clone());
        };
        if k == 1 && groups.iter().all(|(mask, need)| mask.count_ones() == *need) {
            return Compiled::Lines(groups.into_iter().map(|(mask, _)| mask).collect());
        }
        Compiled::Groups {
            k,
            of: groups.into_boxed_slice(),
        }
    }

    #[inline]
    pub(crate) fn is_satisfied(&self, acks: NodeSet) -> bool {
        let bits = acks.bits();
        match self {
            Compiled::Flat { mask, k } => (bits & mask).count_ones() >= *k,
            Compiled::Lines(lines) => lines.iter().any(|line| bits & line == *line),
            Compiled::Groups { k, of } => {
                let full = of
                    .iter()
                    .filter(|(mask, need)| (bits & mask).count_ones() >= *need)
                    .count();
                full >= *k as usize
            }
            Compiled::Tree(rule) => rule.is_satisfied(acks),
        }
    }
}

/// The rule as a count over a mask, if each member occurs once with weight 1.
fn flat(rule: &Rule) -> Option<(u64, u32)> {
    match rule {
        Rule::Node(index) => Some((NodeSet::single(*index).bits(), 1)),
        Rule::Threshold { k, of } => {
            let mut mask = NodeSet::EMPTY;
            for (weight, child) in of {
                let Rule::Node(index) = child else { return None };
                if *weight != 1 || !mask.insert(*index) {
                    return None;
                }
            }
            Some((mask.bits(), *k))
        }
    }
}

/// The rule as a count of counts, if it has two levels and no weights.
fn groups(rule: &Rule) -> Option<(u32, Vec<(u64, u32)>)> {
    let Rule::Threshold { k, of } = rule else { return None };
    let groups: Option<Vec<_>> = of
        .iter()
        .map(|(weight, child)| if *weight == 1 { flat(child) } else { None })
        .collect();
    Some((*k, groups?))
}
