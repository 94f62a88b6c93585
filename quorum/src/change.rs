//! From one configuration to the next: what becomes of each member, and what stands against the change.
//!
//! Old and new quorums need not meet, because every slot has one configuration (R1). So a change is not judged by comparing
//! quorums, but by three questions: is it the next one, are those who are to vote ready for it, and may the new quorums lose
//! what they acknowledge? Whether a learner *has* caught up only the running cluster knows; who must have is said here.

use crate::resilience::{Domain, Hazard};
use crate::{Configuration, Epoch, Incarnation, Member, QuorumSystem, Role};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// What becomes of a member.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum Fate {
    /// It is new.
    Joins(Role),
    /// It is no longer a member.
    Leaves,
    /// Its disk is another one: the same node in a later life, which has promised nothing yet.
    Replaced {
        /// The life that ends.
        from: Incarnation,
        /// The life that begins.
        to: Incarnation,
    },
    /// A learner votes from now on.
    Promoted,
    /// It only listens from now on.
    Demoted,
    /// An acceptor may lead from now on.
    MayLead,
    /// It votes from now on, and does not lead.
    OnlyVotes,
    /// It is described differently: the names of the keys that differ.
    Described(Vec<&'static str>),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Joins(role) => write!(f, "joins as {role}"),
            Fate::Leaves => f.write_str("leaves"),
            Fate::Replaced { from, to } => write!(f, "comes back with a new disk (incarnation {from} becomes {to})"),
            Fate::Promoted => f.write_str("becomes a voter"),
            Fate::Demoted => f.write_str("becomes a learner"),
            Fate::MayLead => f.write_str("becomes a voter, and so may lead"),
            Fate::OnlyVotes => f.write_str("becomes an acceptor: it votes and does not lead"),
            Fate::Described(keys) => write!(f, "has another {}", keys.join(", ")),
        }
    }
}

/// Why a change is not made, or not without more words.
#[derive(Clone, Eq, PartialEq, Debug)]
#[non_exhaustive]
pub enum Obstacle {
    /// It is not the next configuration (R2): somebody else has changed it meanwhile, or it is in force already.
    NotNext {
        /// The newest epoch that there is.
        newest: Epoch,
        /// The epoch of the change.
        proposed: Epoch,
    },
    /// The window is fixed when a cluster is founded (R2).
    OtherWindow {
        /// The window in slots.
        fixed: u64,
        /// What was proposed.
        proposed: u64,
    },
    /// Those of its voters that are members already are no phase 2 quorum, so none can have caught up (R5).
    Unready {
        /// The names of the voters that have nothing yet.
        newcomers: Vec<String>,
    },
    /// A member would go back to an earlier life, which is gone.
    EarlierLife {
        /// Its name.
        name: String,
        /// The life that it is in.
        present: Incarnation,
        /// What was proposed.
        proposed: Incarnation,
    },
    /// The change could lose acknowledged data (R7). It can be made all the same, by whoever says so.
    Risk {
        /// What alone could lose it: a node, which is one disk, or a zone.
        domain: Domain,
        /// Each of them.
        hazards: Vec<Hazard>,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::NotNext { newest, proposed } => write!(
                f,
                "epoch {proposed} does not follow on epoch {newest}, which is the newest: the configuration has changed since"
            ),
            Obstacle::OtherWindow { fixed, proposed } => write!(
                f,
                "alpha is {fixed} for as long as the cluster exists, it cannot become {proposed}"
            ),
            Obstacle::Unready { newcomers } => write!(
                f,
                "{} would be needed to commit and cannot have caught up: add new members as learners first, and promote them \
                 when they have",
                newcomers.join(", ")
            ),
            Obstacle::EarlierLife {
                name,
                present,
                proposed,
            } => write!(
                f,
                "{name} is in incarnation {present}; incarnation {proposed} of it is gone for ever"
            ),
            Obstacle::Risk { domain, hazards } => {
                for (position, hazard) in hazards.iter().enumerate() {
                    let gap = if position == 0 { "" } else { "; " };
                    write!(f, "{gap}{hazard}")?;
                }
                let what = match domain {
                    Domain::Node => "one disk",
                    Domain::Zone | Domain::Region => "one zone",
                };
                write!(f, ". So {what} could lose what clients were told is safe")
            }
        }
    }
}

impl Configuration {
    /// What becomes of every member for whom something changes, in the order of node numbers.
    #[must_use]
    pub fn fates(&self, before: &Configuration) -> Vec<(Member, Vec<Fate>)> {
        let mut fates: Vec<(Member, Vec<Fate>)> = Vec::new();
        for member in self.members() {
            let fate = match before.member(member.node) {
                None => vec![Fate::Joins(member.role)],
                Some(known) => fates_of(known, member),
            };
            fates.push((member.clone(), fate));
        }
        for member in before.members() {
            if self.member(member.node).is_none() {
                fates.push((member.clone(), vec![Fate::Leaves]));
            }
        }
        fates.retain(|(_, fates)| !fates.is_empty());
        fates.sort_by_key(|(member, _)| member.node);
        fates
    }

    /// The voters that did not vote before: each must have caught up, or be left out of the phase 2 quorum that takes over
    /// (R5).
    #[must_use]
    pub fn new_voters(&self, before: &Configuration) -> Vec<&Member> {
        let voted = |member: &Member| {
            let index = before.index_of(member.node, member.incarnation);
            index.is_some_and(|index| before.is_voter(index))
        };
        self.members()
            .iter()
            .filter(|member| member.role.votes() && !voted(member))
            .collect()
    }

    /// The smallest thing that alone could lose what this configuration acknowledged (R7): a node, with its disk, or a zone.
    #[must_use]
    pub fn risk(&self) -> Option<Domain> {
        self.hazards().first().map(|hazard| hazard.domain)
    }

    /// Everything that stands against this configuration as the next one after `before`, as far as it can be seen from
    /// the two. A risk that the configuration before has as well is none.
    #[must_use]
    pub fn obstacles(&self, before: &Configuration) -> Vec<Obstacle> {
        let mut obstacles = vec![];
        if self.epoch().0 != before.epoch().0 + 1 {
            obstacles.push(Obstacle::NotNext {
                newest: before.epoch(),
                proposed: self.epoch(),
            });
        }
        if self.alpha() != before.alpha() {
            obstacles.push(Obstacle::OtherWindow {
                fixed: before.alpha(),
                proposed: self.alpha(),
            });
        }
        for member in self.members() {
            let present = before.member(member.node);
            if let Some(present) = present
                && member.incarnation < present.incarnation
            {
                obstacles.push(Obstacle::EarlierLife {
                    name: member.name.to_string(),
                    present: present.incarnation,
                    proposed: member.incarnation,
                });
            }
        }
        let known = |member: &Member| before.index_of(member.node, member.incarnation).is_some();
        let ready = (0u8..).zip(self.members()).filter(|(_, member)| known(member));
        if !self.is_phase2_quorum(ready.map(|(index, _)| index).collect()) {
            let newcomers = self.new_voters(before).into_iter().filter(|member| !known(member));
            obstacles.push(Obstacle::Unready {
                newcomers: newcomers.map(|member| member.name.to_string()).collect(),
            });
        }
        let hazards = self.hazards();
        // A node is the smaller unit, so its risk is the greater one. Who runs one already has accepted it and what it implies.
        let accepted = before.risk();
        if let Some(domain) = hazards.first().map(|hazard| hazard.domain)
            && accepted.is_none_or(|accepted| domain < accepted)
        {
            obstacles.push(Obstacle::Risk { domain, hazards });
        }
        obstacles
    }
}

fn fates_of(before: &Member, after: &Member) -> Vec<Fate> {
    let mut fates = vec![];
    if before.incarnation != after.incarnation {
        fates.push(Fate::Replaced {
            from: before.incarnation,
            to: after.incarnation,
        });
    }
    match (before.role, after.role) {
        (Role::Learner, Role::Voter) => fates.push(Fate::Promoted),
        (Role::Acceptor, Role::Voter) => fates.push(Fate::MayLead),
        (Role::Voter | Role::Learner, Role::Acceptor) => fates.push(Fate::OnlyVotes),
        (Role::Voter | Role::Acceptor, Role::Learner) => fates.push(Fate::Demoted),
        _ => {}
    }
    let keys: Vec<&'static str> = [
        ("name", before.name != after.name),
        ("region", before.region != after.region),
        ("zone", before.zone != after.zone),
        ("address", before.address != after.address),
        ("client_url", before.client_url != after.client_url),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect();
    if !keys.is_empty() {
        fates.push(Fate::Described(keys));
    }
    fates
}
