//! The processes of one cluster, the relay between them, and what they say about themselves.

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use node::cli::certs::Authority;
use node::relay::Relay;
use node::status::{NodeStatus, Role};
use node::transport::Identity;
use quorum::NodeId;
use simulator::random::{Concern, Random};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::plan::{CLUSTER, Plan};
use crate::process::Starter;
use crate::seat::{Seat, State, first_port, free_ports, own_environment};

const STATUS_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a cluster may take to elect its first leader, on a machine that is busy.
const FIRST_LEADER: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// Dropping it ends the processes.
pub(crate) struct Cluster {
    pub(crate) plan: Plan,
    pub(crate) folder: PathBuf,
    pub(crate) synod: PathBuf,
    pub(crate) relay: Relay,
    seats: Vec<Mutex<Seat>>,
    // Last: when its thread ends, the kernel kills what is left.
    starter: Starter,
}

impl Cluster {
    /// Writes certificates and settings, opens the links, starts the founders.
    pub(crate) fn start(plan: Plan, folder: &Path, synod: &Path) -> Result<Cluster, String> {
        let sentence = |error: std::io::Error| error.to_string();
        let relay = Relay::start().map_err(sentence)?;
        let starter = Starter::new().map_err(sentence)?;
        let mut port = first_port();
        let mut ports = Vec::new();
        for _ in plan.nodes() {
            ports.push(free_ports(&mut port)?);
        }
        certify(&plan, folder)?;
        let mut seats = Vec::new();
        let mut random = Random::new(plan.seed, Concern::Clock);
        for (node, own) in plan.nodes().zip(&ports) {
            let settings = folder.join(format!("n{node}.toml"));
            let clock_rate = plan.clock_rate(&mut random);
            seats.push(Seat::new(node, *own, settings, clock_rate));
        }
        for (node, seat) in plan.nodes().zip(&seats) {
            let text = settings(&plan, &relay, seat, &seats)?;
            let path = folder.join(format!("n{node}.toml"));
            fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        let cluster = Cluster {
            plan,
            folder: folder.to_owned(),
            synod: synod.to_owned(),
            relay,
            seats: seats.into_iter().map(Mutex::new).collect(),
            starter,
        };
        for node in 1..=cluster.plan.founders {
            cluster.boot(NodeId(node), true, None)?;
        }
        Ok(cluster)
    }

    pub(crate) fn seat(&self, node: NodeId) -> MutexGuard<'_, Seat> {
        let place = node.0 as usize - 1;
        self.seats[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a node's process.
    pub(crate) fn boot(&self, node: NodeId, bootstrap: bool, sync_delay: Option<Duration>) -> Result<(), String> {
        self.seat(node).start(&self.starter, &self.synod, bootstrap, sync_delay)
    }

    /// Starts the process of a node that is down; nothing if somebody else has the seat by now.
    pub(crate) fn restart(&self, node: NodeId, sync_delay: Option<Duration>) -> Result<(), String> {
        let mut seat = self.seat(node);
        if seat.state != State::Down {
            return Ok(());
        }
        seat.start(&self.starter, &self.synod, false, sync_delay)
    }

    /// All nodes in one of these states.
    pub(crate) fn nodes_in(&self, states: &[State]) -> Vec<NodeId> {
        let nodes = self.plan.nodes();
        nodes.filter(|node| states.contains(&self.seat(*node).state)).collect()
    }

    /// The ports of all nodes that may listen.
    pub(crate) fn http_ports(&self) -> Vec<u16> {
        let up = self.nodes_in(&[State::Up]);
        up.into_iter().map(|node| self.seat(node).ports.http).collect()
    }

    /// What the node says about itself, if it does.
    pub(crate) async fn status(&self, node: NodeId) -> Option<NodeStatus> {
        let port = self.seat(node).ports.http;
        tokio::time::timeout(STATUS_TIMEOUT, ask_status(port)).await.ok()?
    }

    /// What everybody says who is up.
    pub(crate) async fn statuses(&self) -> Vec<NodeStatus> {
        let asked = self.nodes_in(&[State::Up]);
        let mut answers = Vec::new();
        for node in asked {
            answers.extend(self.status(node).await);
        }
        answers
    }

    /// Waits for the first leader.
    pub(crate) async fn first_leader(&self) -> Result<(), String> {
        let begun = Instant::now();
        while leader(&self.statuses().await).is_none() {
            if let Some(text) = self.plan.nodes().find_map(|node| self.seat(node).obituary()) {
                return Err(text);
            }
            if begun.elapsed() > FIRST_LEADER {
                return Err(format!(
                    "no leader within {FIRST_LEADER:?}\n{}",
                    self.seat(NodeId(1)).tail()
                ));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Runs `synod` with these arguments, asking all nodes that are up.
    pub(crate) async fn synod(&self, arguments: &[String], limit: Duration) -> Result<String, String> {
        let mut command = std::process::Command::new(&self.synod);
        own_environment(&mut command);
        let endpoints: Vec<String> = self
            .http_ports()
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        let clients = self.nodes_in(&[State::Up]);
        let clients: Vec<String> = clients
            .into_iter()
            .map(|node| format!("127.0.0.1:{}", self.seat(node).ports.clients))
            .collect();
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("SYNOD_ENDPOINTS", endpoints.join(","))
            .env("SYNOD_CLIENT_ENDPOINTS", clients.join(","))
            .stdin(std::process::Stdio::null());
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        match tokio::time::timeout(limit, command.output()).await {
            Ok(Ok(Output { status, stdout, stderr })) => {
                let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
                if status.success() {
                    Ok(out.into_owned())
                } else {
                    let last = err.lines().last().or(out.lines().last()).unwrap_or("nothing");
                    Err(format!("{status}: {last}"))
                }
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no end within {limit:?}")),
        }
    }

    /// Everything between the nodes is as it was at first.
    pub(crate) fn heal(&self) {
        for (from, to) in self.pairs() {
            self.relay.heal(from, to);
            self.relay.set_loss(from, to, 0.0);
            self.relay.set_delay(from, to, self.plan.round_trip(from, to) / 2);
        }
    }

    /// All ordered pairs of nodes.
    pub(crate) fn pairs(&self) -> Vec<(NodeId, NodeId)> {
        let from = self.plan.nodes();
        let pairs = from.flat_map(|from| self.plan.nodes().map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to).collect()
    }

    /// Datagrams that the relay has passed on, and those that it has not.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let all = self.pairs().into_iter().map(|(from, to)| self.relay.traffic(from, to));
        all.fold((0, 0), |(passed, dropped), one| {
            (passed + one.forwarded, dropped + one.lost + one.cut + one.overflowed)
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for seat in &self.seats {
            seat.lock().unwrap_or_else(PoisonError::into_inner).end();
        }
    }
}

/// The one that leads in the highest ballot and hears a quorum.
pub(crate) fn leader(statuses: &[NodeStatus]) -> Option<&NodeStatus> {
    let leaders = statuses
        .iter()
        .filter(|status| status.role == Role::Leader && status.healthy);
    leaders.max_by_key(|status| status.ballot_round)
}

async fn ask_status(port: u16) -> Option<NodeStatus> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

fn certify(plan: &Plan, folder: &Path) -> Result<(), String> {
    let sentence = |error: node::cli::certs::CertsError| error.to_string();
    let dir = folder.join("certs");
    let authority = Authority::create(CLUSTER, 30).map_err(sentence)?;
    authority.write(&dir, false).map_err(sentence)?;
    for node in plan.nodes() {
        let identity = Identity::new(CLUSTER, node, Plan::region(node))?;
        let issued = authority.issue(&identity, &[], 30).map_err(sentence)?;
        issued.write(&dir, &identity, false).map_err(sentence)?;
    }
    Ok(())
}

/// The settings of one node, with a link through the relay to every other.
fn settings(plan: &Plan, relay: &Relay, seat: &Seat, seats: &[Seat]) -> Result<String, String> {
    let node = seat.node;
    let mut text = String::new();
    if node.0 <= plan.founders {
        write!(
            text,
            "cluster = \"{CLUSTER}\"\nnode = {node}\nsystem = \"{}\"\n",
            plan.system
        )
        .expect("a String");
    }
    let lease = plan
        .lease
        .map_or("0".to_owned(), |lease| format!("{}ms", lease.as_millis()));
    let hand_back = plan
        .hand_back
        .map_or("0".to_owned(), |span| format!("{}ms", span.as_millis()));
    write!(
        text,
        "data_dir = \"data-{node}\"\nreluctance = {}\nhand_back = \"{hand_back}\"\n\n\
         [listen]\npeers = \"127.0.0.1:{}\"\nclients = \"127.0.0.1:{}\"\nhttp = \"127.0.0.1:{}\"\n\n\
         [certificates]\nauthority = \"certs/ca.pem\"\ncertificate = \"certs/node-{node}.pem\"\nkey = \"certs/node-{node}.key\"\n\n\
         [timing]\nelection_timeout = \"700ms\"\n\n\
         [reads]\nlease = \"{lease}\"\nclock_drift_ppm = {drift}\n\n\
         [limits]\nkeep_slots = {keep}\nmax_log_slots = {most}\ncache_bytes = \"64KiB\"\n",
        plan.reluctance(node),
        seat.ports.peers,
        seat.ports.clients,
        seat.ports.http,
        drift = plan.drift_ppm,
        keep = plan.keep_slots,
        most = (plan.keep_slots * 4).max(1000),
    )
    .expect("a String");
    if node.0 <= plan.founders {
        for founder in seats.iter().take(plan.founders as usize) {
            write!(
                text,
                "\n[[member]]\nnode = {}\nname = \"{}\"\nregion = \"{}\"\naddress = \"127.0.0.1:{}\"\n\
                 client_url = \"http://127.0.0.1:{}\"\n",
                founder.node,
                founder.name(),
                Plan::region(founder.node),
                founder.ports.peers,
                founder.ports.clients,
            )
            .expect("a String");
        }
    }
    for other in seats.iter().filter(|other| other.node != node) {
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, other.ports.peers));
        let address = relay
            .link(node, other.node, target, plan.round_trip(node, other.node))
            .map_err(|error| format!("cannot open a link from node {node} to node {}: {error}", other.node))?;
        write!(text, "\n[[dial]]\nnode = {}\naddress = \"{address}\"\n", other.node).expect("a String");
    }
    Ok(text)
}
