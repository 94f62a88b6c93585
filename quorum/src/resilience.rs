//! What may be lost before a phase has no quorum left, and what every acknowledged value rests on.
//!
//! Members that fail together are a unit: a node by itself, a zone, a region. The least sets of units whose loss stops a
//! phase are the minimal quorums of the dual of its rule, with every member renamed to its unit. So one engine answers for
//! nodes, zones and regions alike, exactly.

use crate::minimal::{TooMany, minimal_quorums, smallest_quorum};
use crate::{Configuration, Member, NodeSet, Phase, QuorumSystem, Rule};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// What fails together.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum Domain {
    /// One node with its disk.
    Node,
    /// All nodes of a zone.
    Zone,
    /// All nodes of a region.
    Region,
}

impl Domain {
    /// From the smallest to the largest.
    pub const ALL: [Domain; 3] = [Domain::Node, Domain::Zone, Domain::Region];
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Domain::Node => "node",
            Domain::Zone => "zone",
            Domain::Region => "region",
        })
    }
}

/// A set of voters that fail together.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Unit {
    /// The name of the node or region, or `region/zone` for a zone that is not its region.
    pub name: String,
    /// The voters in it.
    pub members: NodeSet,
}

/// What one phase survives.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Tolerance {
    /// So many units may be lost, whichever they are, and there is still a quorum.
    pub survives: u32,
    /// Every least set of units whose loss leaves no quorum, as positions in the list of units; fewest units first.
    pub fatal: Result<Vec<Vec<usize>>, TooMany>,
}

/// How many fatal sets are listed at most.
pub const FATAL_SETS: u64 = 4096;

/// What a rule survives, if each of `units` is lost as a whole.
///
/// # Errors
/// [`TooMany`] if the rule and the units cut across each other in more ways than can be listed (2^20).
///
/// # Panics
/// If there are more than 64 units, or they overlap, or a member of the rule is in none of them.
pub fn tolerance(rule: &Rule, units: &[NodeSet]) -> Result<Tolerance, TooMany> {
    let fatal = fatal_losses(rule, units);
    let listed = minimal_quorums(&fatal, FATAL_SETS).map(|mut sets| {
        sets.sort_by_key(|set| set.len());
        sets.into_iter()
            .map(|set| set.iter().map(usize::from).collect())
            .collect()
    });
    Ok(Tolerance {
        survives: fewest(&fatal, units)? - 1,
        fatal: listed,
    })
}

/// How many of `units` may be lost, whichever they are, while the rule can still be satisfied. The fatal sets are not
/// listed, so this is cheap for rules in which no member repeats.
pub(crate) fn survives(rule: &Rule, units: &[NodeSet]) -> Result<u32, TooMany> {
    Ok(fewest(&fatal_losses(rule, units), units)? - 1)
}

/// Which sets of units are fatal if they are lost, as a rule over positions in `units`.
fn fatal_losses(rule: &Rule, units: &[NodeSet]) -> Rule {
    assert!(
        units.len() <= NodeSet::CAPACITY,
        "{} units do not fit in a set",
        units.len()
    );
    let mut unit_of = [None; NodeSet::CAPACITY];
    for (position, unit) in units.iter().enumerate() {
        for member in *unit {
            let before = unit_of[usize::from(member)].replace(position as u8);
            assert_eq!(
                before, None,
                "member #{member} is in unit {before:?} and in unit {position}"
            );
        }
    }
    let name = |member: u8| unit_of[usize::from(member)].expect("every member of the rule is in a unit");
    rule.dual().renamed(&name).simplified()
}

/// The size of a smallest fatal set.
fn fewest(fatal: &Rule, units: &[NodeSet]) -> Result<u32, TooMany> {
    let smallest = smallest_quorum(fatal, NodeSet::first(units.len() as u8))?;
    Ok(smallest.expect("the loss of every unit is fatal").len() as u32)
}

/// What puts acknowledged data at risk (R7): a value counts as chosen when it is on the disks of a phase 2 quorum, and
/// this quorum is lost with one unit.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Hazard {
    /// Whether one disk or one zone is enough.
    pub domain: Domain,
    /// The unit whose loss can lose acknowledged data.
    pub unit: Unit,
    /// The names of the members of a phase 2 quorum within it.
    pub quorum: Vec<String>,
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "phase 2 quorum {{{}}} lies within one {}: losing {} can lose acknowledged data",
            self.quorum.join(", "),
            self.domain,
            self.unit.name
        )
    }
}

impl Configuration {
    /// The units of a kind that have voters, in the order of their first voter.
    #[must_use]
    pub fn units(&self, domain: Domain) -> Vec<Unit> {
        let mut units: Vec<((&str, &str), Unit)> = Vec::new();
        for index in self.universe() {
            let member = &self.members()[usize::from(index)];
            let key = match domain {
                Domain::Node => (member.name.as_str(), ""),
                Domain::Zone => (member.region.as_str(), member.zone.as_str()),
                Domain::Region => (member.region.as_str(), ""),
            };
            match units.iter_mut().find(|(known, _)| *known == key) {
                Some((_, unit)) => unit.members |= NodeSet::single(index),
                None => units.push((
                    key,
                    Unit {
                        name: unit_name(domain, member),
                        members: NodeSet::single(index),
                    },
                )),
            }
        }
        units.into_iter().map(|(_, unit)| unit).collect()
    }

    /// What a phase survives: a quorum of it is left, and somebody who may lead. Positions in the answer refer to [`Configuration::units`].
    ///
    /// # Errors
    /// [`TooMany`] if quorums and units cut across each other in too many ways.
    pub fn tolerance(&self, phase: Phase, domain: Domain) -> Result<Tolerance, TooMany> {
        let units: Vec<NodeSet> = self.units(domain).into_iter().map(|unit| unit.members).collect();
        tolerance(&self.availability(phase), &units)
    }

    /// What a phase needs to be done at all: a quorum, and somebody who may lead.
    pub(crate) fn availability(&self, phase: Phase) -> Cow<'_, Rule> {
        let (rule, leaders) = (self.rule(phase), self.leaders());
        if leaders == self.universe() {
            return rule;
        }
        let leader = Rule::any(leaders.iter().map(Rule::Node));
        Cow::Owned(Rule::all([rule.into_owned(), leader]))
    }

    /// The number of members of the smallest quorum of a phase.
    ///
    /// # Errors
    /// [`TooMany`] if they cannot be listed.
    pub fn smallest_quorum(&self, phase: Phase) -> Result<u32, TooMany> {
        let smallest = smallest_quorum(&self.rule(phase), self.universe())?;
        Ok(smallest.expect("a configuration has a quorum in each phase").len() as u32)
    }

    /// Every disk, or else every zone, that holds a phase 2 quorum by itself (R7). Empty if there is no such hazard. A
    /// cluster of one node, or in one zone, always has one.
    #[must_use]
    pub fn hazards(&self) -> Vec<Hazard> {
        for domain in [Domain::Node, Domain::Zone] {
            let hazards: Vec<Hazard> = self
                .units(domain)
                .into_iter()
                .filter_map(|unit| self.hazard(domain, unit))
                .collect();
            if !hazards.is_empty() {
                return hazards;
            }
        }
        vec![]
    }

    fn hazard(&self, domain: Domain, unit: Unit) -> Option<Hazard> {
        let mut cost = [u64::MAX; NodeSet::CAPACITY];
        for member in unit.members {
            cost[usize::from(member)] = 0;
        }
        let quorum = self.pick(Phase::Two, &cost)?;
        let name = |index: u8| self.members()[usize::from(index)].name.to_string();
        Some(Hazard {
            domain,
            unit,
            quorum: quorum.iter().map(name).collect(),
        })
    }
}

fn unit_name(domain: Domain, member: &Member) -> String {
    match domain {
        Domain::Node => member.name.clone(),
        Domain::Zone if member.zone != member.region => format!("{}/{}", member.region, member.zone),
        Domain::Zone | Domain::Region => member.region.clone(),
    }
}
