//! How far an exploration goes.

use quorum::{Configuration, Epoch, Incarnation, Member, NodeId, Proposal, Role, SystemSpec};

use crate::checker::Property;
use crate::mutant::Mutant;

/// What may happen, and how often. Everything within these bounds is explored; nothing is known of what lies beyond.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Nodes: 2 or 3.
    pub nodes: usize,
    /// Which nodes are quorums.
    pub system: SystemSpec,
    /// How many nodes, the first ones, may stand for election.
    pub proposers: usize,
    /// Candidacies of all nodes together.
    pub ballots: u8,
    /// Slots that hold anything; also the window α, unless there is a change.
    pub slots: u64,
    /// Whether whoever begins to lead is asked to do without the first node: the last one of three, a learner before, votes in its
    /// place. The change gets slot 1, and the window is such that it governs the last slot (R1 to R6).
    pub change: bool,
    /// Crashes of all nodes together; each loses what is not durable, and the node starts again.
    pub crashes: u8,
    /// Messages that arrive twice.
    pub duplicates: u8,
    /// Times that a leader sends again what was not answered.
    pub reminders: u8,
    /// Times that a node fetches what it missed.
    pub fetches: u8,
    /// Whether a page of a promise has room for one vote only (L9).
    pub pages: bool,
    /// Whether heartbeats and rejections are carried; without, they are lost, and safety does not need them.
    pub courtesies: bool,
    /// Whether every reduction is left out: slow, to test the reductions.
    pub plain: bool,
    /// Stop after so many steps from the start.
    pub depth: Option<u32>,
    /// Stop at so many distinct states. One takes about 60 bytes, and 150 while it waits to be explored.
    pub states: u32,
    /// Makes every node wrong in this way.
    pub mutant: Option<Mutant>,
    /// Judge this property alone.
    pub only: Option<Property>,
}

impl Bounds {
    /// The smallest instance in which two proposers duel over one slot, with `nodes` nodes.
    #[must_use]
    pub fn smallest(nodes: usize) -> Bounds {
        Bounds {
            nodes,
            system: SystemSpec::Majority,
            proposers: 2,
            ballots: 2,
            slots: 1,
            change: false,
            crashes: 0,
            duplicates: 0,
            reminders: 0,
            fetches: 0,
            pages: false,
            courtesies: false,
            plain: false,
            depth: None,
            states: 30_000_000,
            mutant: None,
            only: None,
        }
    }

    /// The configuration of the nodes.
    ///
    /// # Errors
    /// Why the quorum system does not fit the nodes.
    pub fn configuration(&self) -> Result<Configuration, String> {
        if !(2..=3).contains(&self.nodes) {
            return Err(format!("{} nodes: there may be 2 or 3", self.nodes));
        }
        if self.slots < if self.change { 2 } else { 1 } {
            return Err(format!(
                "{} slots: a change needs one, and another one to govern",
                self.slots
            ));
        }
        let learns = |node: u64| self.change && node > 2;
        let members = (1..=self.nodes as u64)
            .map(|node| Member {
                node: NodeId(node),
                incarnation: Incarnation(1),
                name: format!("n{node}"),
                region: format!("r{node}"),
                zone: format!("z{node}"),
                address: format!("n{node}:1"),
                client_url: String::new(),
                role: if learns(node) { Role::Learner } else { Role::Voter },
            })
            .collect();
        let window = if self.change { self.slots - 1 } else { self.slots };
        let proposal = Proposal {
            epoch: Epoch(1),
            alpha: u32::try_from(window).map_err(|_| "too many slots")?,
            system: self.system.clone(),
            members,
        };
        Configuration::new(proposal).map_err(|faults| faults.to_string())
    }

    /// The configuration that leaders are asked for, if there is a change.
    ///
    /// # Errors
    /// Why the quorum system does not fit the nodes.
    pub fn next_configuration(&self) -> Result<Option<Configuration>, String> {
        let mut proposal = self.configuration()?.proposal().clone();
        proposal.epoch = Epoch(2);
        proposal.members.remove(0);
        proposal.members.iter_mut().for_each(|member| member.role = Role::Voter);
        let next = self.change.then(|| Configuration::new(proposal)).transpose();
        next.map_err(|faults| faults.to_string())
    }
}
