//! A cluster of real processes: this binary, started once for each node.

use std::{
    fmt::Write,
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use quorum::NodeId;

use super::plan::{CLUSTER, Plan, PlannedNode, PlannedSystem};
use crate::{cli::get::get, relay::Relay, status::NodeStatus};

/// How long a cluster may take to elect its first leader.
const ELECTION_PATIENCE: Duration = Duration::from_secs(60);
/// How long a node may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// Lines of a node's log shown when it ends early.
const LOG_TAIL: usize = 20;

/// Running processes and the relay between them. Dropping it stops them all, whatever happens.
pub(super) struct Cluster {
    processes: Vec<Process>,
    /// Outlives the processes, so that they can say goodbye to each other.
    _relay: Option<Relay>,
}

struct Process {
    node: NodeId,
    name: String,
    http: SocketAddr,
    log: PathBuf,
    child: Child,
    /// The node stops when this closes: at our wish, or because this process is gone, however it went.
    stdin: Option<ChildStdin>,
}

impl Cluster {
    /// Starts every node of the plan under this quorum system. Settings, logs and data go to a folder of their own in
    /// `dir`; certificates are those in `dir/certs`.
    pub(super) fn start(plan: &Plan, system: &PlannedSystem, dir: &Path) -> Result<Self, String> {
        let folder = dir.join(folder_name(&system.text));
        fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        let relay = match plan.table {
            Some(_) => Some(Relay::start().map_err(|error| format!("cannot start the relay: {error}"))?),
            None => None,
        };
        let mut cluster = Self {
            processes: Vec::new(),
            _relay: None,
        };
        for node in &plan.nodes {
            let settings = settings(plan, system, node, relay.as_ref(), &dir.join("certs"))?;
            let path = folder.join(format!("node-{}.toml", node.node));
            fs::write(&path, settings).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            let process = Process::start(node, &path)
                .map_err(|error| format!("cannot start node {} from {}: {error}", node.node, path.display()))?;
            cluster.processes.push(process);
        }
        cluster._relay = relay;
        Ok(cluster)
    }

    /// Waits until all nodes agree on a leader that hears a phase 2 quorum; returns it.
    pub(super) async fn leader(&mut self) -> Result<NodeId, String> {
        let start = Instant::now();
        loop {
            self.check()?;
            if let Some(leader) = self.agreed().await {
                return Ok(leader);
            }
            if start.elapsed() > ELECTION_PATIENCE {
                let logs: String = self.processes.iter().map(Process::tail).collect();
                return Err(format!("no leader within {ELECTION_PATIENCE:?}\n{logs}"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Fails, with the tail of its log, if a node has ended.
    pub(super) fn check(&mut self) -> Result<(), String> {
        for process in &mut self.processes {
            if let Ok(Some(status)) = process.child.try_wait() {
                return Err(process.obituary(status));
            }
        }
        Ok(())
    }

    /// Takes out the nodes that have ended, and says of each how; the others go on without them.
    pub(super) fn bury(&mut self) -> Vec<String> {
        let mut dead = Vec::new();
        self.processes.retain_mut(|process| {
            let ended = process.child.try_wait().ok().flatten();
            dead.extend(ended.map(|status| format!("node {} ({}) has ended: {status}", process.node, process.name)));
            ended.is_none()
        });
        dead
    }

    /// Whether no node is left.
    pub(super) fn is_extinct(&self) -> bool {
        self.processes.is_empty()
    }

    async fn agreed(&self) -> Option<NodeId> {
        let mut leader = None;
        for process in &self.processes {
            let http = process.http.to_string();
            let answer = tokio::task::spawn_blocking(move || get(&http, "/v1/status", STATUS_TIMEOUT))
                .await
                .ok()?
                .ok()?;
            let status: NodeStatus = serde_json::from_str(&answer).ok()?;
            let named = status.leader.filter(|_| status.healthy && status.recovered)?;
            if *leader.get_or_insert(named) != named {
                return None;
            }
        }
        leader.map(NodeId)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in &mut self.processes {
            process.stdin = None;
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        for process in &mut self.processes {
            while matches!(process.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(POLL);
            }
            if matches!(process.child.try_wait(), Ok(None)) {
                // Fails only if it has ended in this moment.
                let _ = process.child.kill();
            }
            let _ = process.child.wait();
        }
    }
}

impl Process {
    fn start(node: &PlannedNode, settings: &Path) -> io::Result<Self> {
        let log = settings.with_extension("log");
        let mut child = Command::new(std::env::current_exe()?)
            .args(["start", "--bootstrap", "--exit-with-stdin", "--settings"])
            .arg(settings)
            // What the environment says about this shell's own node is not meant for these.
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("SYNOD_")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            // Ctrl-C is for the demo, which then stops its nodes in order.
            .process_group(0)
            .spawn()?;
        let stdin = child.stdin.take();
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, node.http));
        Ok(Self {
            node: node.node,
            name: node.name.clone(),
            http,
            log,
            child,
            stdin,
        })
    }

    fn obituary(&self, status: ExitStatus) -> String {
        format!(
            "node {} ({}) has ended early: {status}\n{}",
            self.node,
            self.name,
            self.tail()
        )
    }

    /// The last lines of the node's log.
    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
        format!("--- the end of {}\n{}\n", self.log.display(), tail.join("\n"))
    }
}

/// A quorum system as the name of a folder.
fn folder_name(system: &str) -> String {
    let words: Vec<&str> = system
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    words.join("-").chars().take(60).collect()
}

/// The settings file of one node, with a link through the relay to every other.
fn settings(
    plan: &Plan,
    system: &PlannedSystem,
    node: &PlannedNode,
    relay: Option<&Relay>,
    certificates: &Path,
) -> Result<String, String> {
    let home = node.region == plan.regions[0];
    // The first node of the first region stands for election first, its neighbours next.
    let reluctance = match node.node {
        NodeId(1) => 0,
        _ if home => 2,
        _ => 6,
    };
    let election_timeout = (plan.longest_round_trip() * 4).max(Duration::from_secs(1)).as_millis();
    let quoted = |path: PathBuf| toml::Value::from(path.to_string_lossy().into_owned());
    let certificate = |name: String| quoted(certificates.join(name));
    let mut text = format!(
        "cluster = \"{CLUSTER}\"\nnode = {node}\ndata_dir = \"data-{node}\"\nreluctance = {reluctance}\nsystem = {system}\n\n\
         [listen]\npeers = \"127.0.0.1:{peers}\"\nclients = \"127.0.0.1:{clients}\"\nhttp = \"127.0.0.1:{http}\"\n\n\
         [certificates]\nauthority = {authority}\ncertificate = {own}\nkey = {key}\n\n\
         [timing]\nelection_timeout = \"{election_timeout}ms\"\n\n[canary]\ninterval = \"1s\"\n{members}",
        node = node.node,
        system = toml::Value::from(&*system.text),
        peers = node.peers,
        clients = node.clients,
        http = node.http,
        authority = certificate("ca.pem".to_owned()),
        own = certificate(format!("node-{}.pem", node.node)),
        key = certificate(format!("node-{}.key", node.node)),
        members = plan.members(),
    );
    let Some(relay) = relay else { return Ok(text) };
    for other in plan.nodes.iter().filter(|other| other.node != node.node) {
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, other.peers));
        let address = relay
            .link(node.node, other.node, target, plan.round_trip(node, other))
            .map_err(|error| {
                format!(
                    "cannot open a link from node {} to node {}: {error}",
                    node.node, other.node
                )
            })?;
        write!(text, "\n[[dial]]\nnode = {}\naddress = \"{address}\"\n", other.node)
            .expect("a String takes everything");
    }
    Ok(text)
}
