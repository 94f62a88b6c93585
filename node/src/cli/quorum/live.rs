//! What the nodes of a running cluster say, put together.

use std::time::Duration;

use clap::Args;
use quorum::Configuration;
use quorum::latency::RoundTrips;

use crate::cli::get::get;
use crate::settings::parse_duration;
use crate::status::NodeStatus;

/// Whom to ask.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Endpoints {
    /// A node's HTTP address (listen.http), host:port; may be repeated. One is enough; every further one adds the round trips
    /// that its node has measured
    #[arg(
        long = "endpoint",
        value_name = "HOST:PORT",
        env = "SYNOD_ENDPOINTS",
        value_delimiter = ',',
        default_value = "127.0.0.1:7480"
    )]
    pub(in crate::cli) endpoints: Vec<String>,
    /// How long to wait for each node
    #[arg(long, value_parser = parse_duration, default_value = "3s")]
    pub(in crate::cli) timeout: Duration,
}

/// The answers of those who answered.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Live {
    /// Endpoint and status.
    pub(in crate::cli) nodes: Vec<(String, NodeStatus)>,
    /// Who did not answer, and why.
    pub(in crate::cli) silent: Vec<String>,
    newest: Configuration,
    newest_from: u64,
}

impl Live {
    /// Asks all endpoints at once. The error is a sentence: nobody answered, or they are of different clusters.
    pub(in crate::cli) fn ask(whom: &Endpoints) -> Result<Live, String> {
        let answers: Vec<_> = std::thread::scope(|scope| {
            let ask = |endpoint: &String| status_of(endpoint, whom.timeout);
            let threads = whom
                .endpoints
                .iter()
                .map(|endpoint| (endpoint, scope.spawn(move || ask(endpoint))));
            let threads: Vec<_> = threads.collect();
            let joined = threads.into_iter().filter_map(|(endpoint, thread)| {
                let answer = thread.join().ok()?;
                Some((endpoint.clone(), answer))
            });
            joined.collect()
        });
        let (mut nodes, mut silent) = (Vec::new(), Vec::new());
        for (endpoint, answer) in answers {
            match answer {
                Ok(status) => nodes.push((endpoint, status)),
                Err(reason) => silent.push(reason),
            }
        }
        Live::of(nodes, silent)
    }

    /// Puts together what was answered.
    pub(super) fn of(nodes: Vec<(String, NodeStatus)>, silent: Vec<String>) -> Result<Live, String> {
        let Some((_, first)) = nodes.first() else {
            return Err(format!("nobody answers: {}", silent.join("; ")));
        };
        if let Some((endpoint, other)) = nodes.iter().find(|(_, status)| status.cluster_id != first.cluster_id) {
            return Err(format!(
                "{endpoint} is of cluster {}, the first endpoint of cluster {}: ask the nodes of one cluster",
                other.cluster, first.cluster
            ));
        }
        let known = nodes.iter().flat_map(|(_, status)| &status.configurations);
        let newest = known
            .max_by_key(|known| known.configuration.epoch)
            .ok_or_else(|| format!("{} does not say which configuration it has", nodes[0].0))?;
        let newest_from = newest.from_slot;
        let newest = Configuration::new(newest.configuration.clone())
            .map_err(|faults| format!("{} has a configuration that cannot be: {faults}", nodes[0].0))?;
        Ok(Live {
            nodes,
            silent,
            newest,
            newest_from,
        })
    }

    /// The newest configuration that any of them knows, in force or about to be.
    pub(in crate::cli) fn newest(&self) -> &Configuration {
        &self.newest
    }

    /// The first slot that it governs.
    pub(in crate::cli) fn newest_from(&self) -> u64 {
        self.newest_from
    }

    /// The status of whoever leads, if that node was asked: of several, the one of the highest ballot.
    pub(in crate::cli) fn leader(&self) -> Option<&NodeStatus> {
        let leading = self.nodes.iter().map(|(_, status)| status);
        leading
            .filter(|status| status.leader == Some(status.node))
            .max_by_key(|status| status.ballot_round)
    }

    /// The highest slot that any of them knows to be chosen.
    pub(in crate::cli) fn chosen(&self) -> u64 {
        let chosen = self
            .nodes
            .iter()
            .map(|(_, status)| status.known_chosen.max(status.chosen));
        chosen.max().unwrap_or(0)
    }

    /// What the nodes have measured to each other.
    pub(in crate::cli) fn round_trips(&self) -> RoundTrips {
        let mut round_trips = RoundTrips::default();
        for (_, status) in &self.nodes {
            let proposals = status.configurations.iter().map(|known| &known.configuration);
            let known: Vec<_> = proposals.flat_map(|proposal| &proposal.members).collect();
            let find = |node| known.iter().rev().find(|member| member.node.0 == node);
            let Some(from) = find(status.node) else { continue };
            for measured in &status.members {
                if let (Some(to), Some(millis)) = (find(measured.node), measured.round_trip_ms) {
                    round_trips.note(from, to, (millis * 1000.0) as u64);
                }
            }
        }
        round_trips
    }
}

fn status_of(endpoint: &str, timeout: Duration) -> Result<NodeStatus, String> {
    let text = get(endpoint, "/v1/status", timeout)?;
    serde_json::from_str(&text).map_err(|_| format!("{endpoint}: the answer is not a status of synod"))
}

#[cfg(test)]
mod tests {
    use quorum::{NodeId, Proposal};

    use super::*;
    use crate::status::{ConfigurationStatus, MemberStatus};

    pub(in crate::cli::quorum) fn proposal(epoch: u64, regions: &[&str]) -> Proposal {
        let mut text = format!("epoch = {epoch}\nalpha = 16\n");
        for (index, region) in regions.iter().enumerate() {
            let node = index + 1;
            text += &format!(
                "[[member]]\nnode = {node}\nname = \"{region}-{node}\"\nregion = \"{region}\"\naddress = \"h{node}:1\"\n"
            );
        }
        toml::from_str(&text).expect("a proposal")
    }

    fn status(node: u64, epoch: u64) -> NodeStatus {
        let configuration = proposal(epoch, &["us", "us", "eu"]);
        let members = configuration.members.iter().map(|member| MemberStatus {
            node: member.node.0,
            round_trip_ms: (member.node != NodeId(node)).then_some(7.5),
            ..MemberStatus::default()
        });
        NodeStatus {
            cluster_id: 5,
            node,
            members: members.collect(),
            configurations: vec![ConfigurationStatus {
                from_slot: epoch * 10,
                configuration,
            }],
            ..NodeStatus::default()
        }
    }

    #[test]
    fn the_newest_configuration_counts_and_what_each_has_measured() {
        let mut leading = status(2, 4);
        leading.leader = Some(2);
        let live =
            Live::of(vec![("a".to_owned(), status(1, 3)), ("b".to_owned(), leading)], vec![]).expect("two answers");
        assert_eq!((live.newest().epoch().0, live.newest_from()), (4, 40));
        assert_eq!(live.leader().map(|status| status.node), Some(2));
        let members = live.newest().members();
        let round_trips = live.round_trips();
        assert_eq!(round_trips.between(&members[2], &members[0]), Some(7_500));
    }

    #[test]
    fn silence_and_strangers_are_told() {
        let nobody = Live::of(vec![], vec!["x: refused".to_owned()]).expect_err("nobody");
        assert_eq!(nobody, "nobody answers: x: refused");
        let mut other = status(1, 1);
        other.cluster_id = 6;
        let mixed = vec![("a".to_owned(), status(1, 1)), ("b".to_owned(), other)];
        assert!(
            Live::of(mixed, vec![])
                .expect_err("two clusters")
                .starts_with("b is of cluster")
        );
    }
}
