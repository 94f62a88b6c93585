//! The configuration that a change of one member leads to.

use quorum::{Configuration, Incarnation, Member, NodeId, Proposal, Role};

use crate::cli::quorum::target::following;

/// Where a change of one member begins.
pub(super) struct Goal<'a> {
    now: &'a Configuration,
}

/// A node that is to be added.
pub(super) struct Newcomer<'a> {
    pub(super) name: &'a str,
    pub(super) node: Option<NodeId>,
    pub(super) region: &'a str,
    pub(super) zone: &'a str,
    pub(super) address: &'a str,
    pub(super) client_url: &'a str,
}

impl Goal<'_> {
    pub(super) fn new(now: &Configuration) -> Goal<'_> {
        Goal { now }
    }

    /// The member of that name or number.
    pub(super) fn find(&self, member: &str) -> Result<&Member, String> {
        let members = self.now.members();
        let named = members.iter().find(|known| known.name == member);
        let found = named.or_else(|| members.iter().find(|known| member.parse() == Ok(known.node.0)));
        found.ok_or_else(|| {
            let known: Vec<String> = members
                .iter()
                .map(|known| format!("{} ({})", known.name, known.node))
                .collect();
            format!("{member} is no member; the members are {}", known.join(", "))
        })
    }

    /// A learner more.
    pub(super) fn add(&self, told: &Newcomer<'_>) -> Result<Configuration, String> {
        let used = |node: NodeId| self.now.member(node).is_some();
        let free = (1..).map(NodeId).find(|node| !used(*node)).unwrap_or(NodeId(u64::MAX));
        let mut proposal = self.now.proposal().clone();
        proposal.members.push(Member {
            node: told.node.unwrap_or(free),
            incarnation: Incarnation(1),
            name: told.name.to_owned(),
            region: told.region.to_owned(),
            zone: told.zone.to_owned(),
            address: told.address.to_owned(),
            client_url: told.client_url.to_owned(),
            role: Role::Learner,
        });
        self.checked(proposal)
    }

    pub(super) fn give_role(&self, member: &str, role: Role) -> Result<Configuration, String> {
        self.update(member, |member| member.role = role)
    }

    pub(super) fn remove(&self, member: &str) -> Result<Configuration, String> {
        let node = self.find(member)?.node;
        let mut proposal = self.now.proposal().clone();
        proposal.members.retain(|member| member.node != node);
        self.checked(proposal)
    }

    /// The same node in a later life. It goes on as what it was: its earlier life does not answer any more, so nothing is lost
    /// by counting on the new one.
    pub(super) fn replace(&self, member: &str, address: Option<&str>) -> Result<Configuration, String> {
        let life = Incarnation(self.now.epoch().0 + 1);
        self.update(member, |member| {
            member.incarnation = life;
            if let Some(address) = address {
                address.clone_into(&mut member.address);
            }
        })
    }

    pub(super) fn update(&self, member: &str, change: impl Fn(&mut Member)) -> Result<Configuration, String> {
        let node = self.find(member)?.node;
        let mut proposal = self.now.proposal().clone();
        let members = proposal.members.iter_mut().filter(|member| member.node == node);
        members.for_each(change);
        self.checked(proposal)
    }

    fn checked(&self, proposal: Proposal) -> Result<Configuration, String> {
        following(proposal, self.now).map_err(|fault| {
            format!(
                "the quorum system {} does not fit then: {}. Change both together: synod quorum apply FILE",
                self.now.spec(),
                fault.reason
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(system: &str) -> Configuration {
        let mut text = format!("epoch = 4\nsystem = \"{system}\"\n");
        for node in [1, 2, 4] {
            text += &format!(
                "[[member]]\nnode = {node}\nname = \"n{node}\"\nregion = \"r{node}\"\naddress = \"h:{node}\"\n"
            );
        }
        Configuration::new(toml::from_str(&text).expect("a proposal")).expect("safe")
    }

    #[test]
    fn a_newcomer_listens_in_a_life_that_is_new() {
        let now = now("majority");
        let told = Newcomer {
            name: "n3",
            node: None,
            region: "r1",
            zone: "r1",
            address: "h:3",
            client_url: "",
        };
        let after = Goal::new(&now).add(&told).expect("safe");
        let member = after.member(NodeId(3)).expect("the first number that is free");
        assert_eq!((member.role, member.incarnation), (Role::Learner, Incarnation(5)));
        for role in [Role::Voter, Role::Acceptor] {
            let promoted = Goal::new(&after).give_role("n3", role).expect("safe");
            let member = promoted.member(NodeId(3)).expect("still there");
            assert_eq!((member.role, member.incarnation), (role, Incarnation(5)));
        }
    }

    #[test]
    fn who_comes_back_with_a_new_disk_is_somebody_else() {
        let now = now("majority");
        let after = Goal::new(&now).replace("4", Some("new:4")).expect("safe");
        let member = after.member(NodeId(4)).expect("still there");
        assert_eq!((member.incarnation, member.address.as_str()), (Incarnation(5), "new:4"));
        assert!(after.obstacles(&now).is_empty());
    }

    #[test]
    fn strangers_and_misfits_are_told_in_a_sentence() {
        let now = now("grid [1 2 4] rows/columns");
        let stranger = Goal::new(&now).give_role("n9", Role::Voter).expect_err("a stranger");
        assert_eq!(stranger, "n9 is no member; the members are n1 (1), n2 (2), n4 (4)");
        let misfit = Goal::new(&now).remove("n4").expect_err("a hole in the grid");
        assert!(
            misfit.contains("does not fit then: row 1, column 3 of the grid holds node 4"),
            "{misfit}"
        );
    }
}
