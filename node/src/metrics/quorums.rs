//! What the quorum systems mean for the cluster as it is now: what may still be lost, and what a commit must wait for.
//!
//! The `quorum` crate computes all of it; here it meets the peers that this node reaches. It is computed for whoever asks
//! and kept until something changes, because a wide system may take a while, which the driver does not have.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};
use quorum::latency::commit_cost;
use quorum::resilience::Domain;
use quorum::{Configuration, NodeId, NodeSet, Phase, QuorumSystem};
use serde::Serialize;

use super::{gauge, gauges, registered};
use crate::status::{ConfigurationStatus, NodeStatus};

/// Tells the round trip to a peer that this node can send to.
pub type Reach = Box<dyn Fn(NodeId) -> Option<Duration> + Send + Sync>;

/// Both phases, each with its label.
const PHASES: [(Phase, &str); 2] = [(Phase::One, "1"), (Phase::Two, "2")];

/// How many more nodes, zones or regions a phase survives, whichever they are; -1: it has no quorum now.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slack {
    /// `None` if there are too many ways to count.
    pub node: Option<i64>,
    /// The same for zones.
    pub zone: Option<i64>,
    /// The same for regions.
    pub region: Option<i64>,
}

impl Slack {
    fn of(configurations: &[(Configuration, NodeSet)], phase: Phase, domain: Domain) -> Option<i64> {
        // While a change is under way, what is lost in either configuration stops the cluster.
        let slacks = configurations.iter().map(|(configuration, alive)| {
            let slack = configuration.slack(phase, domain, *alive).ok()?;
            Some(slack.map_or(-1, i64::from))
        });
        slacks.collect::<Option<Vec<i64>>>()?.into_iter().min()
    }

    fn new(configurations: &[(Configuration, NodeSet)], phase: Phase) -> Slack {
        let of = |domain| Slack::of(configurations, phase, domain);
        Slack {
            node: of(Domain::Node),
            zone: of(Domain::Zone),
            region: of(Domain::Region),
        }
    }

    fn scopes(self) -> [(&'static str, Option<i64>); 3] {
        [("node", self.node), ("zone", self.zone), ("region", self.region)]
    }
}

/// What one phase is like now.
#[derive(Copy, Clone, Debug, PartialEq, Serialize)]
pub struct PhaseOutlook {
    /// Whether the members that this node reaches, itself included, hold a quorum.
    pub reachable: bool,
    /// What may still be lost.
    pub slack: Slack,
    /// What might be lost if every member answered.
    pub slack_of_all: Slack,
    /// Members of the smallest quorum.
    pub smallest_quorum: Option<u32>,
    /// How long the nearest quorum takes to answer this node, in milliseconds; nothing if none does.
    pub round_trip_ms: Option<f64>,
}

/// What the quorum systems mean for the cluster as this node reaches it.
#[derive(Copy, Clone, Debug, PartialEq, Serialize)]
pub struct Outlook {
    /// Electing a leader.
    pub phase1: PhaseOutlook,
    /// Committing.
    pub phase2: PhaseOutlook,
}

/// What the computation rests on besides round trips.
type Basis = (Vec<ConfigurationStatus>, Vec<NodeId>);
/// What was computed from it, by phase: what is slack now, and with everybody there, and the smallest quorum.
type Counted = [(Slack, Slack, Option<u32>); 2];

struct Kept {
    basis: Basis,
    configurations: Vec<Configuration>,
    counted: Counted,
}

/// Computes [`Outlook`], and remembers what does not change with every round trip.
pub struct Quorums {
    reach: Reach,
    kept: Mutex<Option<Kept>>,
}

impl Quorums {
    /// Nothing is computed yet.
    #[must_use]
    pub fn new(reach: Reach) -> Quorums {
        Quorums {
            reach,
            kept: Mutex::new(None),
        }
    }

    /// The outlook, or nothing before the node knows a configuration. May take a while the first time.
    #[must_use]
    pub fn outlook(&self, status: &NodeStatus) -> Option<Outlook> {
        let me = NodeId(status.node);
        let reach = |node: NodeId| {
            if node == me {
                Some(Duration::ZERO)
            } else {
                (self.reach)(node)
            }
        };
        let mut nodes: Vec<NodeId> = (status.configurations.iter())
            .flat_map(|entry| entry.configuration.members.iter().map(|member| member.node))
            .filter(|node| reach(*node).is_some())
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        let basis = (status.configurations.clone(), nodes);
        // What a panic left half done would be replaced as a whole.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|kept| kept.basis != basis) {
            *kept = count(basis);
        }
        let kept = kept.as_ref()?;
        let phase = |phase: Phase, (slack, slack_of_all, smallest_quorum): (Slack, Slack, Option<u32>)| {
            let costs = kept
                .configurations
                .iter()
                .map(|configuration| cost(configuration, phase, me, reach));
            let cost = costs
                .collect::<Option<Vec<u64>>>()
                .and_then(|costs| costs.into_iter().max());
            PhaseOutlook {
                reachable: (kept.configurations.iter()).all(|one| one.is_quorum(phase, alive(one, &kept.basis.1))),
                slack,
                slack_of_all,
                smallest_quorum,
                round_trip_ms: cost.map(|micros| micros as f64 / 1000.0),
            }
        };
        let [one, two] = kept.counted;
        Some(Outlook {
            phase1: phase(Phase::One, one),
            phase2: phase(Phase::Two, two),
        })
    }
}

/// The members of `configuration` that are among these nodes.
fn alive(configuration: &Configuration, nodes: &[NodeId]) -> NodeSet {
    let members = configuration.members().iter().zip(0_u8..);
    members
        .filter(|(member, _)| nodes.contains(&member.node))
        .map(|(_, index)| index)
        .collect()
}

fn count(basis: Basis) -> Option<Kept> {
    let configurations: Result<Vec<_>, _> = (basis.0.iter())
        .map(|entry| Configuration::new(entry.configuration.clone()))
        .collect();
    let configurations = configurations.expect("a configuration in force was checked when it was proposed");
    if configurations.is_empty() {
        return None;
    }
    let now: Vec<_> = (configurations.iter())
        .map(|configuration| (configuration.clone(), alive(configuration, &basis.1)))
        .collect();
    let all: Vec<_> = (configurations.iter())
        .map(|configuration| (configuration.clone(), configuration.universe()))
        .collect();
    let counted = PHASES.map(|(phase, _)| {
        let smallest = configurations
            .iter()
            .map(|configuration| configuration.smallest_quorum(phase).ok());
        let smallest = smallest
            .collect::<Option<Vec<u32>>>()
            .and_then(|sizes| sizes.into_iter().max());
        (Slack::new(&now, phase), Slack::new(&all, phase), smallest)
    });
    Some(Kept {
        basis,
        configurations,
        counted,
    })
}

/// How long the nearest quorum takes to answer, in microseconds.
fn cost(
    configuration: &Configuration,
    phase: Phase,
    me: NodeId,
    reach: impl Fn(NodeId) -> Option<Duration>,
) -> Option<u64> {
    let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let members = configuration.members();
    let costs: Vec<u64> = members
        .iter()
        .map(|member| reach(member.node).map_or(u64::MAX, micros))
        .collect();
    // A node that is no member any more, or not yet, asks from outside: index 255 is nobody's.
    let from = members.iter().position(|member| member.node == me);
    let from = from.and_then(|index| u8::try_from(index).ok()).unwrap_or(u8::MAX);
    commit_cost(configuration, phase, from, &costs)
}

/// [`Outlook`] as gauges.
pub struct QuorumGauges {
    quorums: Arc<Quorums>,
    reachable: IntGaugeVec,
    slack: IntGaugeVec,
    slack_of_all: IntGaugeVec,
    smallest: IntGaugeVec,
    round_trip: GaugeVec,
    info: IntGaugeVec,
    changing: IntGauge,
}

impl QuorumGauges {
    /// Registers the gauges.
    #[must_use]
    pub fn new(registry: &Registry, quorums: Arc<Quorums>) -> QuorumGauges {
        let predicted = Opts::new(
            "synod_quorum_round_trip_seconds",
            "How long the nearest quorum of the phase takes to answer this node: what a commit (2) waits for if this node leads, disks aside.",
        );
        QuorumGauges {
            quorums,
            reachable: gauges(
                registry,
                "synod_quorum_reachable",
                "Whether the voters that this node can send to, itself included, hold a quorum of the phase.",
                &["phase"],
            ),
            slack: gauges(
                registry,
                "synod_quorum_slack",
                "So many more nodes, zones or regions may be lost, whichever they are, before the phase has no quorum; -1: it has none now.",
                &["phase", "scope"],
            ),
            slack_of_all: gauges(
                registry,
                "synod_quorum_slack_of_all",
                "What synod_quorum_slack is if every voter answers: what the quorum system was chosen for.",
                &["phase", "scope"],
            ),
            smallest: gauges(
                registry,
                "synod_quorum_size_nodes",
                "Nodes of the smallest quorum of the phase.",
                &["phase"],
            ),
            round_trip: registered(registry, GaugeVec::new(predicted, &["phase"])),
            info: gauges(
                registry,
                "synod_quorum_config_info",
                "The configurations that are not retired: their numbers and quorum systems.",
                &["epoch", "system"],
            ),
            changing: gauge(
                registry,
                "synod_reconfiguration_in_progress",
                "Whether a change of members or quorums is chosen and the configuration before is not retired yet.",
            ),
        }
    }

    /// Takes over what holds now.
    pub fn update(&self, status: &NodeStatus) {
        self.changing.set(i64::from(status.is_changing()));
        // Numbers of configurations only grow: those that are retired must not stay behind as series.
        self.info.reset();
        for entry in &status.configurations {
            let configuration = &entry.configuration;
            let labels = [configuration.epoch.to_string(), configuration.system.to_string()];
            self.info.with_label_values(&[&labels[0], &labels[1]]).set(1);
        }
        let Some(outlook) = self.quorums.outlook(status) else {
            return;
        };
        for (label, phase) in [("1", outlook.phase1), ("2", outlook.phase2)] {
            self.reachable
                .with_label_values(&[label])
                .set(i64::from(phase.reachable));
            for (gauge, slack) in [(&self.slack, phase.slack), (&self.slack_of_all, phase.slack_of_all)] {
                for (scope, value) in slack.scopes() {
                    match value {
                        Some(value) => gauge.with_label_values(&[label, scope]).set(value),
                        // What cannot be counted is not told; there may be nothing to remove.
                        None => drop(gauge.remove_label_values(&[label, scope])),
                    }
                }
            }
            if let Some(size) = phase.smallest_quorum {
                self.smallest.with_label_values(&[label]).set(i64::from(size));
            }
            let seconds = phase.round_trip_ms.map_or(f64::NAN, |millis| millis / 1000.0);
            self.round_trip.with_label_values(&[label]).set(seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use quorum::{Epoch, Incarnation, Member, Proposal, Role};

    use super::*;

    fn proposal(epoch: u64, regions: &[&str], system: &str) -> Proposal {
        let members = (1..).zip(regions).map(|(node, region)| Member {
            node: NodeId(node),
            incarnation: Incarnation(1),
            name: format!("n{node}"),
            region: (*region).to_owned(),
            zone: (*region).to_owned(),
            address: format!("10.0.0.{node}:7400"),
            client_url: String::new(),
            role: Role::Voter,
        });
        Proposal {
            epoch: Epoch(epoch),
            alpha: 16,
            system: system.parse().expect("a system"),
            members: members.collect(),
        }
    }

    fn status(configurations: Vec<Proposal>) -> NodeStatus {
        NodeStatus {
            node: 1,
            configurations: (configurations.into_iter())
                .map(|configuration| ConfigurationStatus {
                    from_slot: 1,
                    configuration,
                })
                .collect(),
            ..NodeStatus::default()
        }
    }

    /// Peers with these bits answer, node `n` in `10 n` milliseconds.
    fn quorums(up: &Arc<AtomicU64>) -> Arc<Quorums> {
        let up = up.clone();
        Arc::new(Quorums::new(Box::new(move |node| {
            let there = up.load(Ordering::Relaxed) >> node.0 & 1 == 1;
            there.then(|| Duration::from_millis(10 * node.0))
        })))
    }

    const FIVE: [&str; 5] = ["us", "us", "eu", "eu", "ap"];

    #[test]
    fn slack_shrinks_with_every_peer_that_is_gone_and_comes_back() {
        let up = Arc::new(AtomicU64::new(0b11_1100));
        let quorums = quorums(&up);
        let status = status(vec![proposal(1, &FIVE, "majority")]);
        let seen = || {
            let outlook = quorums.outlook(&status).expect("there is a configuration").phase2;
            let slack = outlook.slack;
            (outlook.reachable, slack.node, slack.region, outlook.round_trip_ms)
        };
        assert_eq!(seen(), (true, Some(2), Some(1), Some(30.0)));
        up.store(0b11_0100, Ordering::Relaxed);
        assert_eq!(seen(), (true, Some(1), Some(0), Some(40.0)));
        up.store(0b01_0000, Ordering::Relaxed);
        assert_eq!(seen(), (false, Some(-1), Some(-1), None));
        up.store(0b11_1100, Ordering::Relaxed);
        assert_eq!(seen(), (true, Some(2), Some(1), Some(30.0)));
    }

    #[test]
    fn while_a_change_is_under_way_the_worse_configuration_counts() {
        let quorums = quorums(&Arc::new(AtomicU64::new(0b11_1110)));
        let (old, new) = (proposal(1, &FIVE, "majority"), proposal(2, &FIVE, "counts 4/2"));
        let both = quorums.outlook(&status(vec![old, new])).expect("there are two");
        assert_eq!((both.phase1.slack.node, both.phase2.slack.node), (Some(1), Some(2)));
        assert_eq!(
            (both.phase1.smallest_quorum, both.phase2.smallest_quorum),
            (Some(4), Some(3))
        );
        assert_eq!(quorums.outlook(&NodeStatus::default()), None);
    }

    #[test]
    fn a_retired_configuration_leaves_no_series_behind() {
        let registry = Registry::new();
        let quorums = quorums(&Arc::new(AtomicU64::new(0b11_1110)));
        let gauges = QuorumGauges::new(&registry, quorums);
        let text = || {
            let families = registry.gather();
            prometheus::TextEncoder::new()
                .encode_to_string(&families)
                .expect("it encodes")
        };
        let (old, new) = (proposal(1, &FIVE, "majority"), proposal(2, &FIVE, "counts 4/2"));
        gauges.update(&status(vec![old, new.clone()]));
        assert!(text().contains("synod_reconfiguration_in_progress 1"), "{}", text());
        gauges.update(&status(vec![new]));
        let after = text();
        for line in [
            "synod_quorum_config_info{epoch=\"2\",system=\"counts 4/2\"} 1",
            "synod_quorum_slack{phase=\"1\",scope=\"node\"} 1",
            "synod_quorum_slack{phase=\"2\",scope=\"node\"} 3",
            "synod_quorum_slack{phase=\"1\",scope=\"region\"} 0",
            "synod_quorum_round_trip_seconds{phase=\"2\"} 0.02",
            "synod_reconfiguration_in_progress 0",
        ] {
            assert!(after.contains(line), "{line} is missing in\n{after}");
        }
        assert!(!after.contains("epoch=\"1\""), "{after}");
    }
}
