//! The checked configuration: if you hold one, its quorums meet.

use crate::fingerprint::fingerprint;
use crate::layout::Members;
use crate::spec_text::is_number;
use crate::validity::{Intersection, intersection};
use crate::{
    Epoch, Fault, Faults, Incarnation, Member, NodeId, NodeSet, Phase, Proposal, QuorumSystem, Rule, RuleSystem,
    SystemSpec, Who,
};
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Members, quorum system and window, known to be valid: every phase 1 quorum meets every phase 2 quorum, no quorum is
/// empty, and each phase has one.
///
/// [`Configuration::new`] is the only way to make one; decoding goes through it. A clone is a counted reference.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Proposal", into = "Proposal")]
pub struct Configuration(Arc<Checked>);

#[derive(Debug)]
struct Checked {
    /// Members sorted by node number.
    proposal: Proposal,
    system: RuleSystem,
    fingerprint: u64,
}

impl Configuration {
    /// The largest window, in slots.
    pub const MAX_ALPHA: u32 = 1 << 16;

    /// The largest name, region, zone, address or URL, in bytes.
    pub const MAX_TEXT: usize = 255;

    /// Checks a proposal. The answer depends on the proposal alone, not on the machine or on how long it takes (R2).
    ///
    /// # Errors
    /// Everything that is wrong with it. Whether quorums meet is looked at only once the members and the quorum system
    /// make sense by themselves.
    pub fn new(proposal: Proposal) -> Result<Configuration, Faults> {
        let mut faults = faults_of_members(&proposal);
        let Proposal {
            epoch,
            alpha,
            system: spec,
            members,
        } = proposal;
        if members.len() > NodeSet::CAPACITY {
            return Err(Faults::new(faults));
        }
        let mut sorted: Vec<(usize, Member)> = members.into_iter().enumerate().collect();
        sorted.sort_by_key(|(_, member)| member.node);
        let distinct = sorted.windows(2).all(|pair| pair[0].1.node != pair[1].1.node);
        let mut system = None;
        // With two members of one number there is no telling which of them a cell or a count means.
        if distinct && sorted.iter().any(|(_, member)| member.role.votes()) {
            match checked_system(&sorted, &spec) {
                Ok(checked) => system = Some(checked),
                Err(more) => faults.extend(more),
            }
        }
        match system {
            Some(system) if faults.is_empty() => {
                let members = sorted.into_iter().map(|(_, member)| member).collect();
                let proposal = Proposal {
                    epoch,
                    alpha,
                    system: spec,
                    members,
                };
                let fingerprint = fingerprint(&proposal);
                Ok(Configuration(Arc::new(Checked {
                    proposal,
                    system,
                    fingerprint,
                })))
            }
            _ => Err(Faults::new(faults)),
        }
    }

    /// The number of the configuration, from 1.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.proposal.epoch
    }

    /// The window, in slots: 1 to 65536.
    #[must_use]
    pub fn alpha(&self) -> u64 {
        u64::from(self.0.proposal.alpha)
    }

    /// The members, sorted by node number: member `i` is bit `i` of every [`NodeSet`] of this configuration.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.0.proposal.members
    }

    /// The index of the member with that node number *and* incarnation, voter or learner. An earlier or later life of the
    /// same node is not a member (A8, L3).
    #[must_use]
    pub fn index_of(&self, node: NodeId, incarnation: Incarnation) -> Option<u8> {
        let index = self.search(node)?;
        (self.members()[index].incarnation == incarnation).then_some(index as u8)
    }

    /// The member with that node number, whatever its incarnation.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.search(node).map(|index| &self.members()[index])
    }

    fn search(&self, node: NodeId) -> Option<usize> {
        self.members().binary_search_by_key(&node, |member| member.node).ok()
    }

    /// Whether the member with this index counts in quorums.
    #[must_use]
    pub fn is_voter(&self, index: u8) -> bool {
        self.0.system.universe().contains(index)
    }

    /// Whether the member with this index votes and may lead.
    #[must_use]
    pub fn may_lead(&self, index: u8) -> bool {
        let member = self.members().get(usize::from(index));
        member.is_some_and(|member| member.role.leads())
    }

    /// The voters that may lead; at least one.
    #[must_use]
    pub fn leaders(&self) -> NodeSet {
        let all = 0..self.members().len() as u8;
        all.filter(|index| self.may_lead(*index)).collect()
    }

    /// The quorum system as written.
    #[must_use]
    pub fn spec(&self) -> &SystemSpec {
        &self.0.proposal.system
    }

    /// The proposal this was made from, members sorted by node number.
    #[must_use]
    pub fn proposal(&self) -> &Proposal {
        &self.0.proposal
    }

    /// A hash of everything in the configuration, the same on every machine and whatever order the members were given in.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint
    }
}

impl QuorumSystem for Configuration {
    /// The voters.
    fn universe(&self) -> NodeSet {
        self.0.system.universe()
    }

    #[inline]
    fn is_quorum(&self, phase: Phase, acks: NodeSet) -> bool {
        self.0.system.is_quorum(phase, acks)
    }

    fn rule(&self, phase: Phase) -> Cow<'_, Rule> {
        self.0.system.rule(phase)
    }
}

impl PartialEq for Configuration {
    fn eq(&self, other: &Configuration) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.fingerprint == other.0.fingerprint && self.0.proposal == other.0.proposal)
    }
}

impl Eq for Configuration {}

impl TryFrom<Proposal> for Configuration {
    type Error = Faults;

    fn try_from(proposal: Proposal) -> Result<Configuration, Faults> {
        Configuration::new(proposal)
    }
}

impl From<Configuration> for Proposal {
    fn from(configuration: Configuration) -> Proposal {
        configuration.0.proposal.clone()
    }
}

/// The rules of a quorum system over these members, known to meet.
fn checked_system(sorted: &[(usize, Member)], spec: &SystemSpec) -> Result<RuleSystem, Vec<Fault>> {
    let members = Members::new(sorted);
    let [phase1, phase2] = members.rules(spec)?;
    let is_voter = |index: &u8| sorted[usize::from(*index)].1.role.votes();
    let universe: NodeSet = (0..sorted.len() as u8).filter(is_voter).collect();
    let named = |quorum: NodeSet| quorum.iter().map(|index| members.who(index)).collect();
    match intersection(universe, &phase1, &phase2) {
        Intersection::Always(_) => {
            Ok(RuleSystem::new(universe, phase1, phase2).expect("a rule built from the voters is well-formed"))
        }
        Intersection::Disjoint { first, second } => Err([Fault::Disjoint {
            phase1: named(first),
            phase2: named(second),
        }]
        .into()),
        Intersection::Unproven { examined } => Err([Fault::Unproven { examined }].into()),
    }
}

/// What is wrong with the proposal apart from its quorum system.
fn faults_of_members(proposal: &Proposal) -> Vec<Fault> {
    let mut faults = Vec::new();
    let members = &proposal.members;
    if proposal.epoch.0 == 0 {
        faults.push(Fault::EpochZero);
    }
    if !(1..=Configuration::MAX_ALPHA).contains(&proposal.alpha) {
        faults.push(Fault::AlphaOutOfRange { alpha: proposal.alpha });
    }
    if members.len() > NodeSet::CAPACITY {
        // Naming the faults of so many members one by one helps nobody, and the list may come from a stranger.
        faults.push(Fault::TooManyMembers { members: members.len() });
        return faults;
    }
    if !members.iter().any(|member| member.role.leads()) {
        faults.push(Fault::NoVoters);
    }
    for (position, member) in members.iter().enumerate() {
        faults_of_member(&Who::new(position, member), member, &mut faults);
    }
    faults_of_sharing("node", members, &mut faults, |member| member.node.to_string());
    faults_of_sharing("name", members, &mut faults, |member| member.name.clone());
    faults_of_sharing("address", members, &mut faults, |member| member.address.clone());
    faults
}

fn faults_of_member(who: &Who, member: &Member, faults: &mut Vec<Fault>) {
    for (key, number) in [("node", member.node.0), ("incarnation", member.incarnation.0)] {
        if number == 0 {
            faults.push(Fault::ZeroNumber {
                member: who.clone(),
                key,
            });
        }
    }
    let texts = [
        ("name", &member.name),
        ("region", &member.region),
        ("zone", &member.zone),
        ("address", &member.address),
    ];
    let optional = [("client_url", &member.client_url)];
    for (key, text) in texts.into_iter().chain(optional) {
        if text.len() > Configuration::MAX_TEXT || text.contains(char::is_control) {
            faults.push(Fault::Unprintable {
                member: who.clone(),
                key,
            });
            continue;
        }
        match key {
            "client_url" => {}
            _ if text.trim().is_empty() => faults.push(Fault::Empty {
                member: who.clone(),
                key,
            }),
            "name" if !is_name(text) => faults.push(Fault::BadName { member: who.clone() }),
            "address" if !is_address(text) => {
                faults.push(Fault::BadAddress {
                    member: who.clone(),
                    address: text.clone(),
                });
            }
            _ => {}
        }
    }
}

/// Names stand in the text of a grid, where blanks, brackets and numbers mean something else.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.chars().all(plain) && name.starts_with(char::is_alphanumeric) && !is_number(name)
}

fn is_address(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    let host_is_plain = !host.is_empty() && !host.contains(char::is_whitespace);
    host_is_plain && is_number(port) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// Values that only one member may have. Missing values are a fault of their own.
fn faults_of_sharing(
    key: &'static str,
    members: &[Member],
    faults: &mut Vec<Fault>,
    value: impl Fn(&Member) -> String,
) {
    let mut by_value: Vec<(String, usize)> = members
        .iter()
        .enumerate()
        .map(|(position, member)| (value(member), position))
        .collect();
    by_value.sort();
    for shared in by_value
        .chunk_by(|a, b| a.0 == b.0)
        .filter(|shared| shared.len() > 1 && !shared[0].0.is_empty())
    {
        let members = shared
            .iter()
            .map(|(_, position)| Who::new(*position, &members[*position]))
            .collect();
        faults.push(Fault::Shared {
            key,
            value: shared[0].0.clone(),
            members,
        });
    }
}
