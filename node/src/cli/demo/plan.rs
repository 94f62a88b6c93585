//! What the demo is going to start, checked whole before anything is started.

use std::{
    fmt::Write,
    net::{TcpListener, UdpSocket},
    time::Duration,
};

use quorum::{Configuration, NodeId, Phase, Proposal, SystemSpec, latency::commit_cost};

use super::Args;
use crate::{cli::certs::Authority, relay::rtt::RttTable, transport::Identity};

/// The demo cluster's name, in settings and certificates.
pub(super) const CLUSTER: &str = "demo";
/// Most nodes on one machine.
const MAX_NODES: usize = 25;
/// The port numbers one node takes from `--base-port`.
const PORTS_PER_NODE: u16 = 10;

/// Nodes, distances and quorum systems, all checked.
#[derive(Debug)]
pub(super) struct Plan {
    /// Regions in the order given; the first is meant to lead.
    pub(super) regions: Vec<String>,
    /// All nodes, region by region.
    pub(super) nodes: Vec<PlannedNode>,
    /// Round trips between regions; `None` without a wide area network.
    pub(super) table: Option<RttTable>,
    /// The systems to measure, in this order; the last one stays up.
    pub(super) systems: Vec<PlannedSystem>,
}

/// A node and where it will listen, on loopback.
#[derive(Clone, Debug)]
pub(super) struct PlannedNode {
    pub(super) node: NodeId,
    pub(super) name: String,
    pub(super) region: String,
    /// UDP.
    pub(super) peers: u16,
    /// TCP.
    pub(super) clients: u16,
    /// TCP.
    pub(super) http: u16,
}

/// A quorum system as written, and proved safe for the plan's nodes.
#[derive(Debug)]
pub(super) struct PlannedSystem {
    pub(super) text: String,
    pub(super) configuration: Configuration,
}

impl Plan {
    /// Checks everything that can be checked before a process is started. The error is a sentence.
    pub(super) fn new(args: &Args) -> Result<Self, String> {
        let regions: Vec<String> = args.regions.iter().map(|region| region.trim().to_owned()).collect();
        if let Some(twice) = regions
            .iter()
            .enumerate()
            .find(|(at, region)| regions[..*at].contains(region))
        {
            return Err(format!("region {} is listed twice", twice.1));
        }
        let counts = counts(&args.nodes, regions.len())?;
        let table = if args.no_wan {
            None
        } else {
            Some(table(&args.rtt, &regions)?)
        };
        let total: usize = counts.iter().sum();
        if total > MAX_NODES {
            return Err(format!(
                "{total} nodes are more than the {MAX_NODES} that fit on one machine"
            ));
        }
        let ports = match args.base_port {
            Some(base) => fixed_ports(base, total)?,
            None => free_ports(total)?,
        };
        let mut nodes = Vec::new();
        for (region, count) in regions.iter().zip(&counts) {
            for number in 1..=*count {
                let node = NodeId(nodes.len() as u64 + 1);
                let [peers, clients, http] = ports[nodes.len()];
                Identity::new(CLUSTER, node, region)?;
                let name = if *count == 1 {
                    region.clone()
                } else {
                    format!("{region}-{number}")
                };
                nodes.push(PlannedNode {
                    node,
                    name,
                    region: region.clone(),
                    peers,
                    clients,
                    http,
                });
            }
        }
        let mut plan = Self {
            regions,
            nodes,
            table,
            systems: Vec::new(),
        };
        let text = args.quorum.clone().unwrap_or_else(|| default_system(total));
        let chosen = plan.system(&text)?;
        if !args.no_compare && *chosen.configuration.spec() != SystemSpec::Majority {
            plan.systems.push(plan.system("majority")?);
        }
        plan.systems.push(chosen);
        Ok(plan)
    }

    /// Proves that a quorum system is safe for these nodes.
    fn system(&self, text: &str) -> Result<PlannedSystem, String> {
        let toml = format!("system = {}\n{}", toml::Value::from(text), self.members());
        let proposal: Proposal =
            toml::from_str(&toml).map_err(|error| format!("quorum system {text:?}: {}", error.message()))?;
        let configuration = Configuration::new(proposal)
            .map_err(|faults| format!("quorum system {text:?} cannot be used: {faults}"))?;
        Ok(PlannedSystem {
            text: text.to_owned(),
            configuration,
        })
    }

    /// The `[[member]]` tables of every node's settings.
    pub(super) fn members(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let (name, region) = (toml::Value::from(&*node.name), toml::Value::from(&*node.region));
            write!(
                text,
                "\n[[member]]\nnode = {}\nname = {name}\nregion = {region}\naddress = \"127.0.0.1:{}\"\n\
                 client_url = \"http://127.0.0.1:{}\"\n",
                node.node, node.peers, node.clients,
            )
            .expect("a String takes everything");
        }
        text
    }

    /// Issues every node's certificate into `dir`.
    pub(super) fn certify(&self, dir: &std::path::Path) -> Result<(), String> {
        let sentence = |error: crate::cli::certs::CertsError| error.to_string();
        let authority = Authority::create(CLUSTER, 30).map_err(sentence)?;
        authority.write(dir, false).map_err(sentence)?;
        for node in &self.nodes {
            let identity = Identity::new(CLUSTER, node.node, &node.region)?;
            authority
                .issue(&identity, &[], 30)
                .and_then(|issued| issued.write(dir, &identity, false))
                .map_err(sentence)?;
        }
        Ok(())
    }

    /// The round trip between two nodes: none to itself, the region's own between neighbours.
    pub(super) fn round_trip(&self, from: &PlannedNode, to: &PlannedNode) -> Duration {
        match &self.table {
            Some(table) if from.node != to.node => table
                .round_trip(&from.region, &to.region)
                .expect("the plan has checked every region"),
            _ => Duration::ZERO,
        }
    }

    /// The longest round trip between any two nodes.
    pub(super) fn longest_round_trip(&self) -> Duration {
        let pairs = self
            .nodes
            .iter()
            .flat_map(|from| self.nodes.iter().map(move |to| self.round_trip(from, to)));
        pairs.max().unwrap_or_default()
    }

    /// What a commit, or a linearizable read, at `leader` must wait for at least: the smallest, over phase 2 quorums, of
    /// the largest round trip to a member.
    pub(super) fn commit_cost(&self, system: &PlannedSystem, leader: &PlannedNode) -> Duration {
        let members = system.configuration.members();
        let mut from = 0;
        let round_trips: Vec<u64> = (0u8..)
            .zip(members)
            .map(|(index, member)| {
                if member.node == leader.node {
                    from = index;
                }
                let to = self
                    .nodes
                    .iter()
                    .find(|node| node.node == member.node)
                    .expect("members are the plan's nodes");
                self.round_trip(leader, to).as_micros() as u64
            })
            .collect();
        let cost = commit_cost(&system.configuration, Phase::Two, from, &round_trips);
        Duration::from_micros(cost.expect("every member answers, and a checked system has a quorum"))
    }

    /// The node that clients of a region talk to: the leader if it stands there, or else the region's first.
    pub(super) fn nearest<'a>(&'a self, region: &str, leader: &'a PlannedNode) -> &'a PlannedNode {
        if leader.region == region {
            return leader;
        }
        self.nodes
            .iter()
            .find(|node| node.region == region)
            .expect("every region has a node")
    }
}

/// How many nodes stand in each region.
fn counts(given: &[usize], regions: usize) -> Result<Vec<usize>, String> {
    let counts = match given {
        [] if regions == 3 => vec![2, 2, 1],
        [] => vec![1; regions],
        [each] => vec![*each; regions],
        each if each.len() == regions => each.to_vec(),
        each => {
            return Err(format!(
                "--nodes lists {} counts for {regions} regions: give one for each, or one for all",
                each.len()
            ));
        }
    };
    if counts.contains(&0) {
        return Err("every region needs at least one node; leave a region out instead".to_owned());
    }
    Ok(counts)
}

/// Any two nodes commit, where that is not the majority anyway.
fn default_system(nodes: usize) -> String {
    if nodes > 3 {
        format!("counts {}/2", nodes - 1)
    } else {
        "majority".to_owned()
    }
}

fn table(name: &str, regions: &[String]) -> Result<RttTable, String> {
    let table = RttTable::named(name).map_err(|error| error.to_string())?;
    for region in regions {
        table.check(region).map_err(|error| error.to_string())?;
    }
    Ok(table)
}

/// Ports counted up from `base`, each tried now.
fn fixed_ports(base: u16, nodes: usize) -> Result<Vec<[u16; 3]>, String> {
    let last = usize::from(base) + nodes * usize::from(PORTS_PER_NODE);
    if base < 1024 || last > usize::from(u16::MAX) {
        return Err(format!(
            "--base-port {base} does not leave room: {nodes} nodes take the ports {base} to {last}, of 1024 to 65535"
        ));
    }
    let mut ports = Vec::new();
    for node in 0..nodes as u16 {
        let first = base + node * PORTS_PER_NODE;
        let [peers, clients, http] = [first + 2, first, first + 1];
        let taken = |port: u16, kind: &str, error: std::io::Error| {
            format!("port {port}/{kind} on 127.0.0.1 cannot be used ({error}); choose another --base-port")
        };
        for port in [clients, http] {
            TcpListener::bind(("127.0.0.1", port)).map_err(|error| taken(port, "tcp", error))?;
        }
        UdpSocket::bind(("127.0.0.1", peers)).map_err(|error| taken(peers, "udp", error))?;
        ports.push([peers, clients, http]);
    }
    Ok(ports)
}

/// Ports that are free now, all held until the last is known, so that they differ.
fn free_ports(nodes: usize) -> Result<Vec<[u16; 3]>, String> {
    let sentence = |error: std::io::Error| format!("cannot find free ports on 127.0.0.1: {error}");
    let mut held = Vec::new();
    for _ in 0..nodes {
        let udp = UdpSocket::bind(("127.0.0.1", 0)).map_err(sentence)?;
        let clients = TcpListener::bind(("127.0.0.1", 0)).map_err(sentence)?;
        let http = TcpListener::bind(("127.0.0.1", 0)).map_err(sentence)?;
        held.push((udp, clients, http));
    }
    let mut ports = Vec::new();
    for (udp, clients, http) in &held {
        let ports_of_node = [udp.local_addr(), clients.local_addr(), http.local_addr()];
        let [peers, clients, http] = ports_of_node.map(|address| address.map(|address| address.port()));
        ports.push([
            peers.map_err(sentence)?,
            clients.map_err(sentence)?,
            http.map_err(sentence)?,
        ]);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn plan(line: &[&str]) -> Result<Plan, String> {
        Plan::new(
            &Cli::try_parse_from([&["demo"], line].concat())
                .expect("a good command line")
                .args,
        )
    }

    #[test]
    fn the_default_is_five_nodes_of_which_any_two_commit() {
        let plan = plan(&[]).expect("good");
        assert_eq!(plan.nodes.len(), 5);
        let systems: Vec<&str> = plan.systems.iter().map(|system| system.text.as_str()).collect();
        assert_eq!(systems, ["majority", "counts 4/2"]);
        let leader = &plan.nodes[0];
        // Figures of deploy/rtt/rtt_aws.csv: a neighbour, or the third nearest, which is across an ocean.
        let table = RttTable::aws();
        let near = table.round_trip("us-east-1", "us-east-1").expect("there");
        let far = table.round_trip("us-east-1", "eu-west-1").expect("there");
        assert_eq!(plan.commit_cost(&plan.systems[1], leader), near);
        assert_eq!(plan.commit_cost(&plan.systems[0], leader), far);
        let ports: BTreeSet<u16> = plan.nodes.iter().flat_map(|node| [node.clients, node.http]).collect();
        assert_eq!(ports.len(), 10, "all TCP ports differ");
    }

    #[test]
    fn a_grid_may_name_nodes() {
        let plan = plan(&[
            "--regions",
            "us-east-1,eu-west-1",
            "--nodes",
            "2",
            "--no-compare",
            "--quorum",
            "grid [us-east-1-1 us-east-1-2 | eu-west-1-1 eu-west-1-2] columns/rows",
        ])
        .expect("good");
        assert_eq!(plan.systems.len(), 1);
        assert!(
            plan.commit_cost(&plan.systems[0], &plan.nodes[0]) < Duration::from_millis(5),
            "a row is one region"
        );
    }

    #[test]
    fn faults_are_found_before_anything_starts() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("binds");
        let base = taken.local_addr().expect("bound").port().min(65_000).to_string();
        let folder = tempfile::tempdir().expect("a folder");
        let table = folder.path().join("none.csv").display().to_string();
        for (line, expected) in [
            (&["--regions", "us-east-1,mars-1"][..], "there is no region \"mars-1\""),
            (
                &["--regions", "us-east-1,us-east-1"],
                "region us-east-1 is listed twice",
            ),
            (&["--nodes", "1,2"], "--nodes lists 2 counts for 3 regions"),
            (&["--nodes", "0"], "every region needs at least one node"),
            (&["--nodes", "20"], "60 nodes are more than"),
            (
                &["--quorum", "counts 2/2"],
                "quorum system \"counts 2/2\" cannot be used",
            ),
            (&["--quorum", "most"], "quorum system \"most\""),
            (&["--rtt", &table], "cannot read the round trips"),
            (&["--base-port", &base], "cannot be used"),
            (&["--base-port", "65530"], "does not leave room"),
        ] {
            let error = plan(line).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }
}
