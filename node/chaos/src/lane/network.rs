//! What goes wrong between nodes.

use std::time::Duration;

use quorum::NodeId;
use simulator::random::Random;

use super::Scene;
use crate::cluster::leader;
use crate::plan::{Plan, REGIONS};
use crate::seat::State;

/// The lane.
pub(crate) struct Network {
    pub(crate) scene: Scene,
    pub(crate) random: Random,
}

impl Network {
    /// Strikes until the storm is over; everything is healed at the end.
    pub(crate) async fn run(mut self) {
        let millis = Duration::from_millis;
        while !self.scene.is_over() {
            let pause = self.random.span(millis(300), millis(4000));
            self.scene.rest(pause).await;
            if self.scene.is_over() {
                break;
            }
            self.strike().await;
            if self.random.chance(250) {
                // Two at a time.
                self.strike().await;
            }
            let length = self.random.span(millis(200), millis(5000));
            self.scene.rest(length).await;
            self.scene.cluster.heal();
        }
        self.scene.cluster.heal();
    }

    async fn strike(&mut self) {
        let victim = self.victim().await;
        let region = self.random.index(REGIONS.len());
        match self.random.below(10) {
            0 => self.cut("a node cut off", &format!("node {victim}"), |from, to| {
                from == victim || to == victim
            }),
            1 => self.cut("a node that is not heard", &format!("node {victim}"), |from, _| {
                from == victim
            }),
            2 => self.cut("a node that does not hear", &format!("node {victim}"), |_, to| {
                to == victim
            }),
            3 => self.cut("a region cut off", REGIONS[region], |from, to| {
                is_in(from, region) != is_in(to, region)
            }),
            4 => self.cut("a region that is not heard", REGIONS[region], |from, to| {
                is_in(from, region) && !is_in(to, region)
            }),
            5 => {
                let side: Vec<NodeId> = self.nodes().into_iter().filter(|_| self.random.chance(500)).collect();
                self.cut("a split", &format!("{side:?} and the others"), |from, to| {
                    side.contains(&from) != side.contains(&to)
                });
            }
            6 => {
                let other = self.victim().await;
                self.cut("one way cut", &format!("{victim} to {other}"), |from, to| {
                    (from, to) == (victim, other)
                });
            }
            7 => {
                let probability = self.random.between(2, 30) as f64 / 100.0;
                self.scene
                    .strike("loss", &format!("{probability} of {}", REGIONS[region]));
                for (from, to) in self.scene.cluster.pairs() {
                    if is_in(from, region) || is_in(to, region) {
                        self.scene.cluster.relay.set_loss(from, to, probability);
                    }
                }
            }
            8 => {
                let delay = self.random.span(Duration::from_millis(30), Duration::from_millis(400));
                self.scene.strike("delay", &format!("{delay:?} to {}", REGIONS[region]));
                for (from, to) in self.scene.cluster.pairs() {
                    if is_in(to, region) && !is_in(from, region) {
                        self.scene.cluster.relay.set_delay(from, to, delay);
                    }
                }
            }
            _ => self.flap(victim).await,
        }
    }

    /// A node comes and goes.
    async fn flap(&mut self, victim: NodeId) {
        self.scene.strike("flapping", &format!("node {victim}"));
        let (shortest, longest) = (Duration::from_millis(80), Duration::from_millis(900));
        for _ in 0..self.random.between(3, 8) {
            for cut in [true, false] {
                for (from, to) in self.scene.cluster.pairs() {
                    if from == victim || to == victim {
                        if cut {
                            self.scene.cluster.relay.cut(from, to);
                        } else {
                            self.scene.cluster.relay.heal(from, to);
                        }
                    }
                }
                let pause = self.random.span(shortest, longest);
                self.scene.rest(pause).await;
            }
        }
    }

    fn cut(&self, kind: &'static str, whom: &str, which: impl Fn(NodeId, NodeId) -> bool) {
        self.scene.strike(kind, whom);
        for (from, to) in self.scene.cluster.pairs() {
            if which(from, to) {
                self.scene.cluster.relay.cut(from, to);
            }
        }
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.scene.cluster.nodes_in(&State::MEMBERS)
    }

    /// A node at random, the leader as often as not.
    async fn victim(&mut self) -> NodeId {
        if self.random.chance(400)
            && let Some(leader) = leader(&self.scene.cluster.statuses().await)
        {
            return NodeId(leader.node);
        }
        let nodes = self.nodes();
        *self.random.pick(&nodes)
    }
}

fn is_in(node: NodeId, region: usize) -> bool {
    Plan::region(node) == REGIONS[region]
}
