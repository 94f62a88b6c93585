//! What more may be lost, now that some members do not answer.
//!
//! Health alone comes too late: a cluster that has lost all it can spare is as healthy as one that has lost nothing, until
//! the next loss. What is left to lose is the tolerance of the rule that remains when the silent members are taken out of it.

use crate::minimal::TooMany;
use crate::resilience::{Domain, survives};
use crate::{Configuration, NodeSet, Phase, QuorumSystem, Rule};
use alloc::vec::Vec;

impl Rule {
    /// What is left of the rule if only these members answer: satisfied by the same subsets of `alive`, and without the
    /// other members. `None` if nothing satisfies it any more.
    #[must_use]
    pub fn restricted(&self, alive: NodeSet) -> Option<Rule> {
        match self {
            Rule::Node(index) => alive.contains(*index).then_some(Rule::Node(*index)),
            Rule::Threshold { k, of } => {
                let left = |(weight, rule): &(u32, Rule)| rule.restricted(alive).map(|rule| (*weight, rule));
                let of: Vec<_> = of.iter().filter_map(left).collect();
                let reach = crate::rule::total_weight(&of);
                (reach >= u64::from(*k)).then_some(Rule::Threshold { k: *k, of })
            }
        }
    }
}

impl Configuration {
    /// So many more units of `domain` may be lost, whichever they are, before the members that answer hold no quorum of
    /// `phase`, or have nobody who may lead. `None`: they hold none now. `alive` are the members that answer; who is no voter does not count.
    ///
    /// # Errors
    /// [`TooMany`] if quorums and units cut across each other in too many ways.
    pub fn slack(&self, phase: Phase, domain: Domain, alive: NodeSet) -> Result<Option<u32>, TooMany> {
        let Some(left) = self.availability(phase).restricted(alive & self.universe()) else {
            return Ok(None);
        };
        let units: Vec<NodeSet> = self.units(domain).into_iter().map(|unit| unit.members).collect();
        survives(&left, &units).map(Some)
    }
}
