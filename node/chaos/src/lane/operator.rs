//! An operator who changes quorum system, members and leader with the operator's own commands, in the middle of it all.
//!
//! Every change but one only tries: if its command gives up, the next turn goes on from what the nodes say. A disk that is lost is
//! the exception: until its node is taken back in a new life, nothing else is tried and no other disk is lost, because that is
//! what the quorum systems drawn here promise to survive.

use std::time::Duration;

use node::status::NodeStatus;
use quorum::{Member, NodeId, Proposal, Role};
use simulator::random::Random;

use super::Scene;
use crate::cluster::leader;
use crate::plan::{Plan, systems};
use crate::seat::State;

/// How long a command may try to get a change done.
const PATIENCE: &str = "20s";
/// How long it may run: somewhat longer, for it is to give up by itself.
const LIMIT: Duration = Duration::from_secs(40);
const SETTLING: Duration = Duration::from_millis(300);

/// The lane.
pub(crate) struct Operator {
    pub(crate) scene: Scene,
    pub(crate) random: Random,
    /// The node whose disk is lost and which is not taken back yet.
    owed: Option<NodeId>,
    /// A node that is to leave, and the epoch in which it was a member still.
    leaving: Option<(NodeId, u64)>,
}

impl Operator {
    pub(crate) fn new(scene: Scene, random: Random) -> Operator {
        Operator {
            scene,
            random,
            owed: None,
            leaving: None,
        }
    }

    /// Makes changes until the storm is over, and then completes what cannot be left half done.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let millis = Duration::from_millis;
        while !self.scene.is_over() {
            let pause = self.random.span(millis(300), millis(4000));
            self.scene.rest(pause).await;
            if !self.scene.is_over() {
                self.turn().await?;
            }
        }
        // Every other lane heals now, so this comes to its end; whoever runs the round has the patience.
        loop {
            let settled = self.settled().await;
            if let Some(newest) = &settled {
                self.reconcile(newest).await?;
            }
            match self.owed {
                Some(node) => self.take_back(node).await?,
                None if settled.is_some() => return Ok(()),
                None => {}
            }
            tokio::time::sleep(SETTLING).await;
        }
    }

    async fn turn(&mut self) -> Result<(), String> {
        if let Some(node) = self.owed {
            return self.take_back(node).await;
        }
        let Some(newest) = self.settled().await else {
            // Somebody leads, perhaps, and a change is under way: also a good moment.
            if self.random.chance(300) {
                self.move_leader().await;
            }
            return Ok(());
        };
        if self.reconcile(&newest).await? {
            return Ok(());
        }
        let voters = newest.members.iter().filter(|member| member.role.votes()).count() as u64;
        let learner = newest.members.iter().find(|member| member.role == Role::Learner);
        // Counts and grids that fit so many voters seldom fit one more: a learner waits until they are left.
        let is_majority = newest.system.to_string() == "majority";
        match self.random.below(100) {
            0..20 => self.move_leader().await,
            20..30 => self.cast(&newest).await,
            30..55 => {
                let systems = systems(voters);
                let system = self.random.pick(&systems).clone();
                let arguments = ["quorum", "apply", "--system", &system].map(str::to_owned);
                self.go("another quorum system", arguments.to_vec()).await;
            }
            _ if is_majority && learner.is_some() => {
                let name = learner.map_or(String::new(), |member| member.name.clone());
                let arguments = ["member", "promote", &name].map(str::to_owned);
                self.go("a learner promoted", arguments.to_vec()).await;
            }
            55..75 if learner.is_none() => self.add().await?,
            75..87 if voters > 3 => {
                let node = self.random.pick(&newest.members).node;
                if leaders_without(&newest, node) > 1 {
                    self.remove(node, newest.epoch.0).await;
                }
            }
            _ if is_majority => {
                let node = self.random.pick(&newest.members).node;
                if self.scene.cluster.seat(node).state != State::Up || leaders_without(&newest, node) == 0 {
                    return Ok(());
                }
                self.scene.strike("a disk lost", &format!("node {node}"));
                {
                    let mut seat = self.scene.cluster.seat(node);
                    seat.kill();
                    seat.state = State::Taken;
                    seat.wipe();
                }
                self.owed = Some(node);
                self.take_back(node).await?;
            }
            _ => {
                let arguments = ["quorum", "apply", "--system", "majority"].map(str::to_owned);
                self.go("another quorum system", arguments.to_vec()).await;
            }
        }
        Ok(())
    }

    /// Another voter never leads from now on, or one may again.
    async fn cast(&mut self, newest: &Proposal) {
        let voters: Vec<&Member> = newest.members.iter().filter(|member| member.role.votes()).collect();
        let leaders = voters.iter().filter(|member| member.role.leads()).count();
        let member = *self.random.pick(&voters);
        // Two that may lead are left, so that one of them can be down.
        let role = match member.role {
            Role::Voter if leaders > 2 => "acceptor",
            Role::Voter => return,
            Role::Acceptor | Role::Learner => "voter",
        };
        let arguments = ["member", "role", &member.name, role].map(str::to_owned);
        self.go("another role", arguments.to_vec()).await;
    }

    /// The newest configuration, if a leader says that no change is under way.
    async fn settled(&self) -> Option<Proposal> {
        let statuses = self.scene.cluster.statuses().await;
        let leader = leader(&statuses).filter(|status| !status.is_changing())?;
        let newest = leader.newest()?;
        let epoch = |status: &NodeStatus| status.newest().map(|newest| newest.configuration.epoch);
        let known = statuses.iter().filter_map(epoch).max()?;
        (known == newest.configuration.epoch).then(|| newest.configuration.clone())
    }

    /// Brings processes in line with members, where a command has given up and its change was made after all. Whether there was
    /// anything to do.
    async fn reconcile(&mut self, newest: &Proposal) -> Result<bool, String> {
        let is_member = |node: NodeId| newest.members.iter().any(|member| member.node == node);
        if let Some((node, epoch)) = self.leaving {
            if newest.epoch.0 > epoch && !is_member(node) {
                self.vacate(node);
                return Ok(true);
            }
            if newest.epoch.0 > epoch {
                self.leaving = None;
            }
        }
        let vacant = self.scene.cluster.nodes_in(&[State::Vacant]);
        let Some(node) = vacant.into_iter().find(|node| is_member(*node)) else {
            return Ok(false);
        };
        let document = format!("n{node}.join.toml");
        let arguments = ["member", "join", &format!("n{node}"), "--out", &document].map(str::to_owned);
        match self.scene.cluster.synod(&arguments, LIMIT).await {
            Ok(_) => self.join(node, &document)?,
            Err(reason) => self.scene.book.note(&format!("no document for node {node}: {reason}")),
        }
        Ok(true)
    }

    async fn add(&mut self) -> Result<(), String> {
        let vacant = self.scene.cluster.nodes_in(&[State::Vacant]);
        if vacant.is_empty() {
            return Ok(());
        }
        let node = *self.random.pick(&vacant);
        let ports = self.scene.cluster.seat(node).ports;
        let document = format!("n{node}.join.toml");
        let arguments = [
            "member",
            "add",
            &format!("n{node}"),
            "--node",
            &node.to_string(),
            "--region",
            Plan::region(node),
            "--address",
            &format!("127.0.0.1:{}", ports.peers),
            "--client-url",
            &format!("http://127.0.0.1:{}", ports.clients),
            "--out",
            &document,
        ]
        .map(str::to_owned);
        if self.go("a member added", arguments.to_vec()).await {
            self.join(node, &document)?;
        }
        Ok(())
    }

    /// Starts a node on an empty disk.
    fn join(&self, node: NodeId, document: &str) -> Result<(), String> {
        let document = self.scene.cluster.folder.join(document);
        {
            let mut seat = self.scene.cluster.seat(node);
            seat.wipe();
            seat.join = Some(document);
        }
        self.scene.cluster.boot(node, false, None)
    }

    async fn remove(&mut self, node: NodeId, epoch: u64) {
        self.leaving = Some((node, epoch));
        let arguments = ["member", "remove", &format!("n{node}")].map(str::to_owned);
        if self.go("a member removed", arguments.to_vec()).await {
            self.vacate(node);
        }
    }

    /// Switches off a node that is no member any more.
    fn vacate(&mut self, node: NodeId) {
        self.leaving = None;
        let mut seat = self.scene.cluster.seat(node);
        seat.kill();
        seat.wipe();
        seat.state = State::Vacant;
    }

    /// Takes a node whose disk is lost back in a new life.
    async fn take_back(&mut self, node: NodeId) -> Result<(), String> {
        let document = format!("n{node}.join.toml");
        let arguments = ["member", "replace", &format!("n{node}"), "--out", &document].map(str::to_owned);
        if self.go("a lost disk replaced", arguments.to_vec()).await {
            self.owed = None;
            self.join(node, &document)?;
        }
        Ok(())
    }

    async fn move_leader(&mut self) {
        let nodes = self.scene.cluster.nodes_in(&[State::Up]);
        let mut arguments = vec!["move-leader".to_owned(), "--timeout".to_owned(), "3s".to_owned()];
        if !nodes.is_empty() && self.random.chance(700) {
            arguments.extend(["--to".to_owned(), self.random.pick(&nodes).to_string()]);
        }
        let done = self.scene.cluster.synod(&arguments, LIMIT).await;
        self.told("leadership handed over", &arguments, &done);
    }

    /// Runs a command that changes the configuration; whether it says that the change is complete.
    async fn go(&self, kind: &'static str, mut arguments: Vec<String>) -> bool {
        let how = [
            "--patience",
            PATIENCE,
            "--timeout",
            "700ms",
            "--accept-risk",
            "one-zone",
        ];
        arguments.extend(how.map(str::to_owned));
        let done = self.scene.cluster.synod(&arguments, LIMIT).await;
        self.told(kind, &arguments, &done)
    }

    fn told(&self, kind: &'static str, arguments: &[String], done: &Result<String, String>) -> bool {
        self.scene.score.change(kind, done.is_ok());
        let end = match done {
            Ok(_) => "done",
            Err(reason) => reason,
        };
        self.scene.book.note(&format!("synod {}: {end}", arguments.join(" ")));
        done.is_ok()
    }
}

/// How many members but this one may lead.
fn leaders_without(newest: &Proposal, node: NodeId) -> usize {
    let others = newest.members.iter().filter(|member| member.node != node);
    others.filter(|member| member.role.leads()).count()
}
