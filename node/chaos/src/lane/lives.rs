//! What happens to processes: they are killed, stopped, paused, their disks become slow, and their clocks wrong.

use std::time::Duration;

use quorum::NodeId;
use simulator::random::Random;

use super::Scene;
use crate::cluster::leader;
use crate::seat::State;

/// How long a node may take to stop before it is killed.
const STOPPING: Duration = Duration::from_secs(5);

/// The lane.
pub(crate) struct Lives {
    pub(crate) scene: Scene,
    pub(crate) random: Random,
}

impl Lives {
    /// Strikes until the storm is over; whoever is down or paused then is brought back.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let millis = Duration::from_millis;
        while !self.scene.is_over() {
            let pause = self.random.span(millis(500), millis(5000));
            self.scene.rest(pause).await;
            if self.scene.is_over() {
                break;
            }
            self.strike().await?;
        }
        self.bring_back()
    }

    async fn strike(&mut self) -> Result<(), String> {
        let millis = Duration::from_millis;
        let kind = self.random.below(100);
        let Some(victim) = self.victim(kind.is_multiple_of(2)).await else {
            return Ok(());
        };
        match kind {
            0..35 => {
                let mut victims = vec![victim];
                if self.random.chance(150) {
                    victims = self.scene.cluster.nodes_in(&[State::Up]);
                } else if self.random.chance(200) {
                    victims.extend(self.victim(false).await);
                }
                self.scene.strike(
                    if victims.len() > 2 { "all killed" } else { "kill -9" },
                    &format!("{victims:?}"),
                );
                for victim in victims {
                    self.scene.cluster.seat(victim).kill_if_up();
                }
                let down = self.random.span(millis(0), millis(3000));
                self.scene.rest(down).await;
                self.bring_back()
            }
            35..70 => {
                self.scene.strike("SIGSTOP", &format!("node {victim}"));
                self.scene.cluster.seat(victim).pause();
                let length = self.random.span(millis(50), millis(4000));
                self.scene.rest(length).await;
                self.bring_back()
            }
            70..85 => {
                self.scene.strike("SIGTERM", &format!("node {victim}"));
                self.stop(victim).await;
                self.bring_back()
            }
            85..93 => {
                let rate = self.scene.cluster.plan.clock_rate(&mut self.random);
                self.scene.strike(
                    "another clock rate",
                    &format!("node {victim}, {rate} millionths too fast"),
                );
                let mut seat = self.scene.cluster.seat(victim);
                seat.clock_rate = rate;
                seat.kill_if_up();
                drop(seat);
                self.bring_back()
            }
            _ => {
                let delay = self.random.span(millis(5), millis(120));
                self.scene
                    .strike("slow disk", &format!("node {victim}, {delay:?} more for each sync"));
                self.scene.cluster.seat(victim).kill_if_up();
                self.scene.cluster.restart(victim, Some(delay))?;
                let length = self.random.span(millis(500), millis(5000));
                self.scene.rest(length).await;
                self.scene.cluster.seat(victim).kill_if_up();
                self.bring_back()
            }
        }
    }

    /// Lets a node stop by itself.
    async fn stop(&self, node: NodeId) {
        if !self.scene.cluster.seat(node).ask_to_stop() {
            return;
        }
        let begun = tokio::time::Instant::now();
        while !self.scene.cluster.seat(node).has_stopped() && begun.elapsed() < STOPPING {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut seat = self.scene.cluster.seat(node);
        if seat.state == State::Stopping {
            seat.kill();
        }
    }

    /// Wakes and starts whoever this lane has paused or killed.
    fn bring_back(&self) -> Result<(), String> {
        for node in self.scene.cluster.nodes_in(&[State::Paused]) {
            self.scene.cluster.seat(node).resume();
        }
        for node in self.scene.cluster.nodes_in(&[State::Down]) {
            self.scene.cluster.restart(node, None)?;
        }
        Ok(())
    }

    /// A node that is up: the leader, or any.
    async fn victim(&mut self, leads: bool) -> Option<NodeId> {
        if leads && let Some(leader) = leader(&self.scene.cluster.statuses().await) {
            return Some(NodeId(leader.node)).filter(|node| self.scene.cluster.seat(*node).state == State::Up);
        }
        let up = self.scene.cluster.nodes_in(&[State::Up]);
        (!up.is_empty()).then(|| *self.random.pick(&up))
    }
}
