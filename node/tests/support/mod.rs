//! A cluster of real processes on loopback: the built binary, its own certificates, its own folders.
#![allow(dead_code, reason = "each test uses its part")]

pub mod progress;
pub mod writer;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use node::cli::certs::Authority;
use node::proto::etcdserverpb::kv_client::KvClient;
use node::proto::etcdserverpb::{PutRequest, RangeRequest, RangeResponse};
use node::relay::Relay;
use node::status::NodeStatus;
use node::transport::Identity;
use quorum::NodeId;
use tonic::transport::Channel;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One process and where it listens.
pub struct Member {
    pub node: u64,
    pub clients: u16,
    pub http: u16,
    pub peers: u16,
    /// What `synod start` is told besides its settings.
    pub arguments: Vec<String>,
    /// What is run: `synod` as it was just built, unless a test says otherwise.
    pub binary: PathBuf,
    settings: PathBuf,
    child: Option<Child>,
}

/// The processes of one cluster. Dropping it kills them.
pub struct Cluster {
    pub folder: tempfile::TempDir,
    pub members: Vec<Member>,
}

/// Ports that were given out: the system may offer one again as soon as it is let go.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// One that nobody was given before, of those that `offer` brings.
fn fresh_port(offer: impl Fn() -> SocketAddr) -> u16 {
    loop {
        let port = offer().port();
        if GIVEN.lock().expect("nobody panics with it").insert(port) {
            return port;
        }
    }
}

fn free_tcp_port() -> u16 {
    fresh_port(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        listener.local_addr().expect("it is bound")
    })
}

fn free_udp_port() -> u16 {
    fresh_port(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
        socket.local_addr().expect("it is bound")
    })
}

impl Cluster {
    /// Starts `count` nodes, each in a region of its own, and waits until they have a leader.
    pub async fn start(count: u64, system: &str) -> Cluster {
        let mut cluster = Cluster::prepare(count, system);
        for index in 0..cluster.members.len() {
            cluster.members[index].start(true);
        }
        cluster.leader().await;
        cluster
    }

    /// Writes certificates and settings, and starts nothing.
    pub fn prepare(count: u64, system: &str) -> Cluster {
        Cluster::prepare_with(count, system, &[], "")
    }

    /// The same for a cluster of this name.
    pub fn prepare_as(name: &str, count: u64, system: &str) -> Cluster {
        Cluster::prepare_all(name, count, system, &[], "")
    }

    /// The same, with members that do not vote, and more settings.
    pub fn prepare_with(count: u64, system: &str, learners: &[u64], settings: &str) -> Cluster {
        Cluster::prepare_all("test", count, system, learners, settings)
    }

    fn prepare_all(name: &str, count: u64, system: &str, learners: &[u64], settings: &str) -> Cluster {
        let more = settings;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::create(name, 30).expect("an authority");
        let certificates = folder.path().join("certs");
        let files = authority.write(&certificates, false).expect("written");
        let mut members = Vec::new();
        let mut tables = String::new();
        for node in 1..=count {
            let identity = Identity::new(name, NodeId(node), &format!("region-{node}")).expect("a name");
            authority
                .issue(&identity, &[], 30)
                .expect("issued")
                .write(&certificates, &identity, false)
                .expect("written");
            let (clients, http, peers) = (free_tcp_port(), free_tcp_port(), free_udp_port());
            tables += &format!(
                "[[member]]\nnode = {node}\nname = \"n{node}\"\nregion = \"region-{node}\"\naddress = \"127.0.0.1:{peers}\"\n\
                 client_url = \"http://127.0.0.1:{clients}\"\n{}\n",
                if learners.contains(&node) {
                    "role = \"learner\"\n"
                } else {
                    ""
                }
            );
            let settings = folder.path().join(format!("n{node}.toml"));
            members.push(Member {
                node,
                clients,
                http,
                peers,
                arguments: Vec::new(),
                binary: env!("CARGO_BIN_EXE_synod").into(),
                settings,
                child: None,
            });
        }
        for member in &members {
            let node = member.node;
            let text = format!(
                "cluster = \"{name}\"\nnode = {node}\ndata_dir = \"data-{node}\"\nsystem = \"{system}\"\n\n\
                 [listen]\npeers = \"127.0.0.1:{}\"\nclients = \"127.0.0.1:{}\"\nhttp = \"127.0.0.1:{}\"\n\n\
                 [certificates]\nauthority = \"{}\"\ncertificate = \"certs/node-{node}.pem\"\nkey = \"certs/node-{node}.key\"\n\n\
                 {more}\n\n{tables}",
                member.peers,
                member.clients,
                member.http,
                files.certificate.display(),
            );
            std::fs::write(&member.settings, text).expect("written");
        }
        Cluster { folder, members }
    }

    /// A node that is no founder, with settings that name no members; returns where its peers reach it. It is not started.
    pub fn newcomer(&mut self, node: u64) -> String {
        let (clients, http, peers) = (free_tcp_port(), free_tcp_port(), free_udp_port());
        let settings = self.folder.path().join(format!("n{node}.toml"));
        let text = format!(
            "data_dir = \"data-{node}\"\n\n\
             [listen]\npeers = \"127.0.0.1:{peers}\"\nclients = \"127.0.0.1:{clients}\"\nhttp = \"127.0.0.1:{http}\"\n\n\
             [certificates]\nauthority = \"certs/ca.pem\"\ncertificate = \"certs/node-{node}.pem\"\nkey = \"certs/node-{node}.key\"\n"
        );
        std::fs::write(&settings, text).expect("written");
        self.members.push(Member {
            node,
            clients,
            http,
            peers,
            arguments: Vec::new(),
            binary: env!("CARGO_BIN_EXE_synod").into(),
            settings,
            child: None,
        });
        format!("127.0.0.1:{peers}")
    }

    /// Puts distance between these nodes and those of the cluster, none of which is started. It lasts as long as what is
    /// returned.
    pub fn spread(&self, more: &[&Member], round_trip: impl Fn(u64, u64) -> Duration) -> Relay {
        let relay = Relay::start().expect("a relay");
        let all = || self.members.iter().chain(more.iter().copied());
        for from in all() {
            for to in all().filter(|to| to.node != from.node) {
                let target = SocketAddr::from((Ipv4Addr::LOCALHOST, to.peers));
                let address = relay
                    .link(
                        NodeId(from.node),
                        NodeId(to.node),
                        target,
                        round_trip(from.node, to.node),
                    )
                    .expect("a link");
                from.configure(&format!("\n[[dial]]\nnode = {}\naddress = \"{address}\"\n", to.node));
            }
        }
        relay
    }

    /// The index of the node that leads and hears a quorum, once there is one that a second node agrees on.
    pub async fn leader(&self) -> usize {
        let begin = Instant::now();
        loop {
            let mut votes = vec![0; self.members.len()];
            for member in &self.members {
                if let Some(status) = member.status().await
                    && status.healthy
                    && let Some(leader) = status.leader
                    && let Some(index) = self.members.iter().position(|member| member.node == leader)
                {
                    votes[index] += 1;
                }
            }
            let needed = self.members.len().min(2);
            if let Some(index) = votes.iter().position(|count| *count >= needed)
                && self.members[index].is_running()
            {
                return index;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "no leader within {PATIENCE:?}; logs:\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all nodes have applied the same slots, and returns what they hold, which must be the same.
    pub async fn agreement(&self) -> Vec<(Vec<u8>, Vec<u8>, i64)> {
        let begin = Instant::now();
        loop {
            let mut applied = Vec::new();
            for member in &self.members {
                applied.extend(member.status().await.map(|status| (status.applied, status.lag())));
            }
            let equal = applied.len() == self.members.len() && applied.iter().all(|one| *one == (applied[0].0, 0));
            if equal && let Some(first) = self.members[0].content().await {
                for member in &self.members[1..] {
                    let other = member.content().await.expect("it answers");
                    let difference = first.iter().zip(&other).find(|(one, another)| one != another);
                    assert!(
                        first.len() == other.len() && difference.is_none(),
                        "nodes that applied the same slots differ: {difference:?}, {} keys and {}",
                        first.len(),
                        other.len()
                    );
                }
                return first;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "no agreement within {PATIENCE:?}: applied and lag {applied:?}; logs:\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the nodes have logged, for a failing test's message.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for member in &self.members {
            let log = std::fs::read_to_string(member.log()).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            text += &format!("--- node {}\n", member.node);
            for line in tail.into_iter().rev() {
                text += line;
                text.push('\n');
            }
        }
        text
    }
}

impl Member {
    /// All that it has logged.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.settings.with_extension("log")
    }

    /// The node's data folder.
    pub fn data(&self) -> PathBuf {
        self.settings.with_file_name(format!("data-{}", self.node))
    }

    /// The process, if it runs; it has not ended by itself.
    pub fn is_alive(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.clients)
    }

    /// The file with its settings.
    pub fn settings(&self) -> &std::path::Path {
        &self.settings
    }

    /// Adds to the settings of a process that is not started yet.
    pub fn configure(&self, text: &str) {
        let settings = std::fs::read_to_string(&self.settings).expect("they were written");
        std::fs::write(&self.settings, settings + text).expect("written");
    }

    /// Starts the process; `bootstrap` on an empty disk.
    pub fn start(&mut self, bootstrap: bool) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("a log file");
        let mut command = Command::new(&self.binary);
        command
            .arg("start")
            .arg("--settings")
            .arg(&self.settings)
            .arg("--exit-with-stdin")
            .args(&self.arguments);
        if bootstrap {
            command.arg("--bootstrap");
        }
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
    }

    /// Starts the process with a document of `synod member`, which lies beside its settings.
    pub fn join(&mut self, document: &str) {
        let document = self.settings.with_file_name(document).display().to_string();
        self.arguments.extend(["--join".to_owned(), document]);
        self.start(false);
    }

    /// The process that runs.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it was started").id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it was running");
            child.wait().expect("it ends");
        }
    }

    /// Stops the process in order: what it had in memory is on its disk afterwards.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it was started");
        drop(child.stdin.take());
        let status = child.wait().expect("it ends");
        assert!(status.success(), "node {} did not stop in order: {status}", self.node);
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Waits until the process ends by itself; returns its exit code and the last line it logged.
    pub async fn ended(&mut self) -> (Option<i32>, String) {
        let begin = Instant::now();
        loop {
            let child = self.child.as_mut().expect("it was started");
            if let Some(status) = child.try_wait().expect("a child") {
                self.child = None;
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                return (status.code(), log.lines().last().unwrap_or_default().to_owned());
            }
            assert!(begin.elapsed() < PATIENCE, "node {} runs after {PATIENCE:?}", self.node);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// All keys as this node has them, whatever the others have: each with its value and the revision of its last change.
    pub async fn content(&self) -> Option<Vec<(Vec<u8>, Vec<u8>, i64)>> {
        let mut client = self.client().await?.max_decoding_message_size(1 << 30);
        let everything = RangeRequest {
            key: vec![0].into(),
            range_end: vec![0].into(),
            serializable: true,
            ..RangeRequest::default()
        };
        let kvs = client.range(everything).await.ok()?.into_inner().kvs;
        Some(
            kvs.into_iter()
                .map(|kv| (kv.key.to_vec(), kv.value.to_vec(), kv.mod_revision))
                .collect(),
        )
    }

    /// What `/v1/status` says, if the node answers.
    pub async fn status(&self) -> Option<NodeStatus> {
        let text = self.get("/v1/status").await?;
        serde_json::from_str(&text).ok()
    }

    /// The body of an HTTP page of the node.
    pub async fn get(&self, path: &str) -> Option<String> {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ))
        .await
    }

    /// What the node answers to JSON.
    pub async fn post(&self, path: &str, json: &str) -> Option<String> {
        let length = json.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{json}"
        ))
        .await
    }

    async fn ask(&self, request: &str) -> Option<String> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.http)).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }

    pub async fn client(&self) -> Option<KvClient<Channel>> {
        let endpoint = Channel::from_shared(self.endpoint())
            .expect("a URL")
            .connect_timeout(Duration::from_millis(500));
        endpoint.connect().await.ok().map(KvClient::new)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            member.kill();
        }
    }
}

/// A put of text.
pub fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..PutRequest::default()
    }
}

/// Reads all keys that begin with `prefix`, linearizably.
pub async fn read_prefix(client: &mut KvClient<Channel>, prefix: &str) -> RangeResponse {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().expect("a prefix") += 1;
    let request = RangeRequest {
        key: prefix.to_owned().into(),
        range_end: end.into(),
        ..RangeRequest::default()
    };
    client.range(request).await.expect("a read").into_inner()
}
