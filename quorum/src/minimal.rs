//! Minimal quorums: the sets of which no member can be left out. How many there are, all of them, and a smallest one.

use crate::{NodeSet, Rule};
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;

/// There are more sets than the caller is ready to look at.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct TooMany {
    /// How many there are; an upper bound where members repeat in the rule. `u64::MAX` stands for "that or more".
    pub count: u64,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there are up to {} sets, too many to list", self.count)
    }
}

impl core::error::Error for TooMany {}

/// How many minimal quorums [`minimal_quorums`] would expand the rule to: exact if no member repeats, else an upper bound.
#[must_use]
pub fn count_minimal_quorums(rule: &Rule) -> u64 {
    let Rule::Threshold { k, of } = rule else { return 1 };
    // `ways[s]`: choices among the children so far whose weights add up to `s < k`. With children in descending order of
    // weight, a choice that reaches `k` with its last child has no child to spare.
    let k = *k as usize;
    let mut ways = vec![0_u64; k];
    if let Some(none) = ways.first_mut() {
        *none = 1;
    }
    let mut count = 0_u64;
    for (weight, child) in by_descending_weight(of) {
        let weight = weight as usize;
        let choices = count_minimal_quorums(child);
        for sum in (0..k).rev() {
            let more = ways[sum].saturating_mul(choices);
            match ways.get_mut(sum + weight) {
                Some(way) => *way = way.saturating_add(more),
                None => count = count.saturating_add(more),
            }
        }
    }
    count
}

/// Every minimal quorum, each once, in an order that depends on the rule only; smallest first if a member repeats in it.
///
/// # Errors
/// [`TooMany`] if expanding the rule would give more than `cap` sets; nothing has been expanded then.
pub fn minimal_quorums(rule: &Rule, cap: u64) -> Result<Vec<NodeSet>, TooMany> {
    let count = count_minimal_quorums(rule);
    if count > cap {
        return Err(TooMany { count });
    }
    let mut sets = expand(rule);
    if !rule.is_read_once() {
        sets.sort_by_key(|set| (set.len(), Reverse(set.bits().reverse_bits())));
        sets.dedup();
        sets.retain(|set| is_minimal(rule, *set));
    }
    Ok(sets)
}

/// A quorum within `within` with as few members as can be; `None` if there is no quorum there.
///
/// # Errors
/// [`TooMany`] if a member repeats in the rule, which leaves only listing, and there are more than 2^20 sets to list.
pub fn smallest_quorum(rule: &Rule, within: NodeSet) -> Result<Option<NodeSet>, TooMany> {
    if rule.is_read_once() {
        return Ok(smallest_read_once(rule, within));
    }
    let sets = minimal_quorums(rule, 1 << 20)?;
    Ok(sets
        .into_iter()
        .filter(|set| set.is_subset(within))
        .min_by_key(|set| set.len()))
}

/// `set` without the members it can do without, dropping higher indexes first. `set` must satisfy the rule.
#[must_use]
pub fn shrink(rule: &Rule, set: NodeSet) -> NodeSet {
    let mut members = [0; NodeSet::CAPACITY];
    for (slot, member) in members.iter_mut().zip(set) {
        *slot = member;
    }
    members[..set.len()].iter().rev().fold(set, |kept, member| {
        let less = kept.minus(NodeSet::single(*member));
        if rule.is_satisfied(less) { less } else { kept }
    })
}

fn is_minimal(rule: &Rule, set: NodeSet) -> bool {
    set.iter()
        .all(|member| !rule.is_satisfied(set.minus(NodeSet::single(member))))
}

fn by_descending_weight(of: &[(u32, Rule)]) -> Vec<(u32, &Rule)> {
    let mut children: Vec<_> = of.iter().map(|(weight, child)| (*weight, child)).collect();
    children.sort_by_key(|(weight, _)| Reverse(*weight));
    children
}

/// Every choice of the tree. Minimal and distinct if no member repeats.
fn expand(rule: &Rule) -> Vec<NodeSet> {
    match rule {
        Rule::Node(index) => vec![NodeSet::single(*index)],
        Rule::Threshold { k, of } => {
            let children: Vec<_> = by_descending_weight(of)
                .into_iter()
                .map(|(weight, child)| (u64::from(weight), expand(child)))
                .collect();
            let mut chosen = Vec::new();
            choose(&children, u64::from(*k), NodeSet::EMPTY, &mut chosen);
            chosen
        }
    }
}

/// Adds to `chosen` every union of `so_far` with choices from children that add up to the weight still missing.
fn choose(children: &[(u64, Vec<NodeSet>)], missing: u64, so_far: NodeSet, chosen: &mut Vec<NodeSet>) {
    if missing == 0 {
        chosen.push(so_far);
        return;
    }
    // No dead ends: without this the walk is exponential even where the result is short.
    let left: u64 = children.iter().map(|(weight, _)| weight).sum();
    let (true, Some(((weight, sets), rest))) = (left >= missing, children.split_first()) else {
        return;
    };
    for set in sets {
        choose(rest, missing.saturating_sub(*weight), so_far | *set, chosen);
    }
    choose(rest, missing, so_far, chosen);
}

/// Exact because children of a read-once rule share no member: sizes add up.
fn smallest_read_once(rule: &Rule, within: NodeSet) -> Option<NodeSet> {
    match rule {
        Rule::Node(index) => within.contains(*index).then(|| NodeSet::single(*index)),
        Rule::Threshold { k, of } => {
            let k = *k as usize;
            // `best[s]`: the smallest union of children so far whose weights add up to `s`, the last entry to `k` or more.
            let mut best: Vec<Option<NodeSet>> = vec![None; k + 1];
            if let Some(none) = best.first_mut() {
                *none = Some(NodeSet::EMPTY);
            }
            for (weight, child) in of {
                let Some(set) = smallest_read_once(child, within) else {
                    continue;
                };
                for sum in (0..k).rev() {
                    let Some(so_far) = best[sum] else { continue };
                    let union = so_far | set;
                    let reached = &mut best[k.min(sum + *weight as usize)];
                    if reached.is_none_or(|known| union.len() < known.len()) {
                        *reached = Some(union);
                    }
                }
            }
            best.pop().flatten()
        }
    }
}
