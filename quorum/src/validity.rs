//! Does every quorum of one rule meet every quorum of another? Exact, with a named counterexample where not.
//!
//! This is the one property of a quorum system that safety rests on (Flexible Paxos: every phase 1 quorum meets every
//! phase 2 quorum). Three methods, cheapest first:
//!
//! 1. *Structure*: a proof read off the two trees, in microseconds: counts that add up to more than there are, a row and a
//!    column that share a cell, zones that must overlap. Sound, not complete: finding no proof says nothing.
//! 2. *Enumeration*: list the minimal quorums of the side that has fewer and ask whether the other side finds a quorum
//!    among the members left over. Complete.
//! 3. *Search*: give each member to one side or the other, depth first, dropping branches in which a side can no longer
//!    have a quorum. Complete, but may give up.
//!
//! Effort is counted in steps, never in time, so every node comes to the same answer (R2). Giving up is an answer of its
//! own, and a refusal: what was not shown safe is not used.

use crate::compiled::Compiled;
use crate::minimal::{count_minimal_quorums, minimal_quorums, shrink, smallest_quorum};
use crate::rule::total_weight;
use crate::{NodeSet, Rule};
use alloc::vec::Vec;

/// How the quorums of two rules stand to each other.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Intersection {
    /// Every quorum of the first meets every quorum of the second.
    Always(Proof),
    /// These two quorums share no member. Neither can spare a member.
    Disjoint {
        /// A quorum of the first rule.
        first: NodeSet,
        /// A quorum of the second rule.
        second: NodeSet,
    },
    /// The limits were reached first.
    Unproven {
        /// How many partial assignments the search looked at.
        examined: u64,
    },
}

/// What an [`Intersection::Always`] rests on.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Proof {
    /// The shape of the two rules.
    Structure,
    /// All minimal quorums of one side, so many, were tested against the other.
    Enumeration {
        /// How many minimal quorums were tested.
        quorums: u64,
    },
    /// No way to share the members out between both sides is left.
    Search {
        /// How many partial assignments it took.
        examined: u64,
    },
}

/// How much effort to spend before giving up. The default decides every built-in system and takes well under a second for
/// any other.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Limits {
    /// Pairs of subtrees that the structural proof may compare.
    pub structure: u32,
    /// Minimal quorums that may be listed for one side.
    pub enumeration: u64,
    /// Partial assignments that the search may look at.
    pub search: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            structure: 100_000,
            enumeration: 1 << 17,
            search: 1 << 20,
        }
    }
}

/// Whether every quorum of `first` meets every quorum of `second`, with the default [`Limits`].
///
/// Both rules must pass [`Rule::check`] for `universe`. A counterexample has the smallest total size there is, if it comes
/// from enumeration and the other side can be listed or has no repeated member; otherwise it is merely minimal on both
/// sides.
#[must_use]
pub fn intersection(universe: NodeSet, first: &Rule, second: &Rule) -> Intersection {
    intersection_within(universe, first, second, Limits::default())
}

/// The same with limits of the caller's choice.
#[must_use]
pub fn intersection_within(universe: NodeSet, first: &Rule, second: &Rule, limits: Limits) -> Intersection {
    if always_meet(first, second, &mut { limits.structure }) {
        return Intersection::Always(Proof::Structure);
    }
    let (firsts, seconds) = (count_minimal_quorums(first), count_minimal_quorums(second));
    let answer = if firsts <= seconds {
        enumerate(universe, first, second, limits.enumeration)
    } else {
        enumerate(universe, second, first, limits.enumeration).map(|answer| match answer {
            Intersection::Disjoint { first, second } => Intersection::Disjoint {
                first: second,
                second: first,
            },
            other => other,
        })
    };
    answer.unwrap_or_else(|| search(universe, first, second, limits.search))
}

/// A sound structural proof that every quorum of `a` meets every quorum of `b`. `budget` bounds the comparisons.
fn always_meet(a: &Rule, b: &Rule, budget: &mut u32) -> bool {
    if *budget == 0 {
        return false;
    }
    *budget -= 1;
    if let (Rule::Node(a), Rule::Node(b)) = (a, b) {
        return a == b;
    }
    // A rule with alternatives has exactly the quorums of its alternatives, so here there is nothing to choose.
    if let Some(alternatives) = alternatives(a) {
        return alternatives.iter().all(|(_, child)| always_meet(child, b, budget));
    }
    if let Some(alternatives) = alternatives(b) {
        return alternatives.iter().all(|(_, child)| always_meet(a, child, budget));
    }
    overlap(a, b, budget)
        || indispensable(a).any(|child| always_meet(child, b, budget))
        || indispensable(b).any(|child| always_meet(a, child, budget))
}

/// The children, if any one of them alone reaches the threshold.
fn alternatives(rule: &Rule) -> Option<&[(u32, Rule)]> {
    match rule {
        Rule::Threshold { k, of } if of.iter().all(|(weight, _)| weight >= k) => Some(of),
        _ => None,
    }
}

/// The children without which the threshold is out of reach.
fn indispensable(rule: &Rule) -> impl Iterator<Item = &Rule> {
    let (k, of) = match rule {
        Rule::Threshold { k, of } => (u64::from(*k), of.as_slice()),
        Rule::Node(_) => (0, [].as_slice()),
    };
    let total = total_weight(of);
    of.iter()
        .filter(move |(weight, _)| total - u64::from(*weight) < k)
        .map(|(_, child)| child)
}

/// Whether two thresholds over (in part) the same children must agree on a child, and the two rules there always meet.
///
/// Children correspond if they have the same members and the same weight. Let `C` be the weight of those in common. Each
/// side can get at most what it has elsewhere from elsewhere; if what both still need from the common children adds up to
/// more than `C`, then both are satisfied in the same one.
fn overlap(a: &Rule, b: &Rule, budget: &mut u32) -> bool {
    let (Rule::Threshold { k: ka, of: a }, Rule::Threshold { k: kb, of: b }) = (a, b) else {
        return false;
    };
    let mut unmatched: Vec<(u32, NodeSet, &Rule)> = b
        .iter()
        .map(|(weight, child)| (*weight, child.leaves(), child))
        .collect();
    let mut common = 0;
    for (weight, child) in a {
        let leaves = child.leaves();
        let twin = unmatched
            .iter()
            .position(|(twin_weight, twin, _)| twin_weight == weight && *twin == leaves);
        let Some(twin) = twin else { continue };
        let (_, _, twin) = unmatched.swap_remove(twin);
        if always_meet(child, twin, budget) {
            common += u64::from(*weight);
        }
    }
    let needed = |k: &u32, of: &[(u32, Rule)]| u64::from(*k).saturating_sub(total_weight(of) - common);
    needed(ka, a) + needed(kb, b) > common
}

/// Tests every minimal quorum of `listed` against `other`. `None` if there are more than `cap`.
fn enumerate(universe: NodeSet, listed: &Rule, other: &Rule, cap: u64) -> Option<Intersection> {
    let quorums = minimal_quorums(listed, cap).ok()?;
    let compiled = Compiled::new(other);
    let partners = Partners::new(other, cap);
    let least_partner = partners.smallest_in(universe)?.len();
    let least = quorums.iter().map(|quorum| quorum.len()).min()? + least_partner;
    let mut best: Option<(NodeSet, NodeSet)> = None;
    let mut best_size = usize::MAX;
    for quorum in &quorums {
        let rest = universe.minus(*quorum);
        if quorum.len() + least_partner >= best_size || !compiled.is_satisfied(rest) {
            continue;
        }
        let partner = partners.smallest_in(rest)?;
        if quorum.len() + partner.len() < best_size {
            best = Some((*quorum, partner));
            best_size = quorum.len() + partner.len();
        }
        if best_size == least {
            break;
        }
    }
    Some(match best {
        Some((first, second)) => Intersection::Disjoint { first, second },
        None => Intersection::Always(Proof::Enumeration {
            quorums: quorums.len() as u64,
        }),
    })
}

/// How to find the smallest quorum of the other side among the members left over.
enum Partners<'a> {
    /// In closed form.
    ReadOnce(&'a Rule),
    /// From the list of all minimal quorums, which is smallest first where members repeat.
    Listed(Vec<NodeSet>),
    /// There are too many to list: one that can spare no member.
    Shrunk(&'a Rule),
}

impl Partners<'_> {
    fn new(rule: &Rule, cap: u64) -> Partners<'_> {
        if rule.is_read_once() {
            return Partners::ReadOnce(rule);
        }
        match minimal_quorums(rule, cap) {
            Ok(quorums) => Partners::Listed(quorums),
            Err(_) => Partners::Shrunk(rule),
        }
    }

    /// `None` if `within` holds no quorum.
    fn smallest_in(&self, within: NodeSet) -> Option<NodeSet> {
        match self {
            Partners::ReadOnce(rule) => smallest_quorum(rule, within).ok().flatten(),
            Partners::Listed(quorums) => quorums.iter().copied().find(|quorum| quorum.is_subset(within)),
            Partners::Shrunk(rule) => rule.is_satisfied(within).then(|| shrink(rule, within)),
        }
    }
}

/// Shares the members out between both sides, depth first.
fn search(universe: NodeSet, first: &Rule, second: &Rule, cap: u64) -> Intersection {
    let mut search = Search {
        first: Compiled::new(first),
        second: Compiled::new(second),
        examined: 0,
        cap,
    };
    match search.share_out(NodeSet::EMPTY, NodeSet::EMPTY, universe) {
        Ok(None) => Intersection::Always(Proof::Search {
            examined: search.examined,
        }),
        Ok(Some((_, theirs))) => {
            let smallest = |rule: &Rule, within: NodeSet| match smallest_quorum(rule, within) {
                Ok(Some(quorum)) => quorum,
                _ => shrink(rule, within),
            };
            // Each side in turn takes the best of what the other leaves over.
            let ours = smallest(first, universe.minus(smallest(second, theirs)));
            let theirs = smallest(second, universe.minus(ours));
            Intersection::Disjoint {
                first: ours,
                second: theirs,
            }
        }
        Err(GaveUp) => Intersection::Unproven {
            examined: search.examined,
        },
    }
}

struct Search {
    first: Compiled,
    second: Compiled,
    examined: u64,
    cap: u64,
}

struct GaveUp;

impl Search {
    /// Two disjoint sets that satisfy both sides, if some sharing out of the members in `free` leads there.
    fn share_out(
        &mut self,
        ours: NodeSet,
        theirs: NodeSet,
        free: NodeSet,
    ) -> Result<Option<(NodeSet, NodeSet)>, GaveUp> {
        if self.examined == self.cap {
            return Err(GaveUp);
        }
        self.examined += 1;
        if !self.first.is_satisfied(ours | free) || !self.second.is_satisfied(theirs | free) {
            return Ok(None);
        }
        if self.first.is_satisfied(ours) {
            return Ok(Some((ours, theirs | free)));
        }
        if self.second.is_satisfied(theirs) {
            return Ok(Some((ours | free, theirs)));
        }
        let Some(next) = free.iter().next().map(NodeSet::single) else {
            return Ok(None);
        };
        let free = free.minus(next);
        match self.share_out(ours | next, theirs, free)? {
            None => self.share_out(ours, theirs | next, free),
            found => Ok(found),
        }
    }
}
