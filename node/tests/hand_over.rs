//! Leadership moves on request, and before a leader stops; reads under leases see what another leader has written.

#[allow(unreachable_pub, reason = "shared between test binaries")]
mod support;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use node::proto::etcdserverpb::RangeRequest;
use support::{Cluster, Member, PATIENCE, progress, put};
use tokio::task::JoinHandle;

/// What a client is told whose write may or may not be done.
const IN_DOUBT: &str = "possibly due to previous leader failure";

/// A client of each member, writing one key after another.
struct Clients {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<(Duration, Vec<String>)>>,
}

impl Clients {
    async fn start(members: &[&Member]) -> Clients {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = Vec::new();
        for member in members {
            clients.push((member.node, member.client().await.expect("the member answers")));
        }
        let tasks = clients.into_iter().map(|(node, mut client)| {
            let (stop, written) = (stop.clone(), written.clone());
            tokio::spawn(async move {
                let (mut longest, mut refused) = (Duration::ZERO, Vec::new());
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let begun = Instant::now();
                    match client.put(put(&format!("{node}/{number}"), "x")).await {
                        Ok(_) => written.fetch_add(1, Ordering::Relaxed),
                        Err(status) => {
                            refused.push(status.message().to_owned());
                            0
                        }
                    };
                    longest = longest.max(begun.elapsed());
                }
                (longest, refused)
            })
        });
        let tasks = tasks.collect();
        Clients { stop, written, tasks }
    }

    async fn wait_for(&self, more: u64, cluster: &Cluster) {
        progress::wait_for(&self.written, more, cluster).await;
    }

    /// The longest that any write took. None may have been refused, and in each of so many hand-overs at most one may have
    /// ended in doubt: one that was under way to the old leader when the new one's log had caught up already.
    async fn stop(self, cluster: &Cluster, hand_overs: usize) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let (mut longest, mut doubts) = (Duration::ZERO, 0);
        for task in self.tasks {
            let (slowest, failed) = task.await.expect("a client does not panic");
            let refused: Vec<_> = failed.iter().filter(|why| !why.contains(IN_DOUBT)).collect();
            assert!(refused.is_empty(), "writes failed: {refused:?}\n{}", cluster.logs());
            doubts += failed.len();
            longest = longest.max(slowest);
        }
        assert!(
            doubts <= hand_overs,
            "{doubts} writes in doubt after {hand_overs} hand-overs\n{}",
            cluster.logs()
        );
        longest
    }
}

fn synod(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_synod"))
        .args(arguments)
        .output()
        .expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn signal(member: &Member, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &member.pid().to_string()])
        .status();
    assert!(sent.expect("kill runs").success(), "{name} to node {}", member.node);
}

fn bare(endpoint: &str) -> &str {
    endpoint.trim_start_matches("http://")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_is_refused_while_leadership_moves() {
    let cluster = Cluster::start(3, "majority").await;
    let first = cluster.leader().await;
    let clients = Clients::start(&cluster.members.iter().collect::<Vec<_>>()).await;
    let mut leader = first;
    for round in 1..=6 {
        clients.wait_for(20, &cluster).await;
        let to = (leader + 1) % 3;
        // Any member knows the leader.
        let endpoint = cluster.members[(leader + round) % 3].endpoint();
        let node = cluster.members[to].node.to_string();
        let (done, said) = synod(&["move-leader", "--to", &node, "--endpoints", bare(&endpoint)]);
        assert!(done, "round {round}: {said}\n{}", cluster.logs());
        assert_eq!(cluster.leader().await, to, "{said}");
        leader = to;
    }
    clients.wait_for(20, &cluster).await;
    println!(
        "six hand-overs; the slowest of all writes took {:?}",
        clients.stop(&cluster, 6).await
    );
    let logs: String = cluster.members.iter().map(Member::logged).collect();
    // Only the first leader was elected because none was heard.
    let begun = logs.matches("phase 1 begins").count();
    let asked = logs.matches("asking the others whether they miss the leader").count();
    assert!(
        begun >= 7 && asked <= begun - 6,
        "{asked} canvasses, {begun} candidacies\n{logs}"
    );

    let endpoint = cluster.members[leader].endpoint();
    let (done, said) = synod(&["move-leader", "--to", "9", "--endpoints", bare(&endpoint)]);
    assert!(!done && said.contains("bad leader transferee"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_told_to_stop_hands_over_first() {
    let mut cluster = Cluster::start(3, "majority").await;
    let leader = cluster.leader().await;
    let others: Vec<&Member> = cluster
        .members
        .iter()
        .filter(|member| member.node as usize != leader + 1)
        .collect();
    let clients = Clients::start(&others).await;
    clients.wait_for(20, &cluster).await;
    signal(&cluster.members[leader], "TERM");
    clients.wait_for(100, &cluster).await;
    println!("the slowest write took {:?}", clients.stop(&cluster, 1).await);
    let (code, _) = cluster.members[leader].ended().await;
    assert_eq!(code, Some(0), "{}", cluster.logs());
    let logged = cluster.members[leader].logged();
    assert!(logged.contains("another node leads"), "{logged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_leader_reads_nothing_stale_when_it_wakes() {
    let mut cluster = Cluster::prepare_with(3, "majority", &[], "\n[reads]\nlease = \"900ms\"\n");
    for member in &mut cluster.members {
        member.start(true);
    }
    for round in 0..3 {
        let old = cluster.leader().await;
        leased(&cluster, old).await;
        let mut reader = cluster.members[old].client().await.expect("the leader answers");
        signal(&cluster.members[old], "STOP");
        // A read waits at its door meanwhile, and must see the write that comes now.
        let new = other_leader(&cluster, old).await;
        let mut writer = cluster.members[new].client().await.expect("the new leader answers");
        let value = format!("written in round {round}");
        writer.put(put("k", &value)).await.expect("it is done");
        let read = tokio::spawn(async move {
            let request = RangeRequest {
                key: "k".into(),
                ..RangeRequest::default()
            };
            reader.range(request).await
        });
        // Long enough for the request to lie in the frozen node's socket; if it comes later, the test is only easier.
        tokio::time::sleep(Duration::from_millis(50)).await;
        signal(&cluster.members[old], "CONT");
        match read.await.expect("no panic") {
            Ok(found) => {
                let kvs = found.into_inner().kvs;
                let found = String::from_utf8_lossy(&kvs[0].value).into_owned();
                assert_eq!(found, value, "a stale read\n{}", cluster.logs());
            }
            Err(status) => println!("round {round}: the read was refused: {}", status.message()),
        }
    }
}

/// Waits until a leader says that it holds a lease.
async fn leased(cluster: &Cluster, leader: usize) {
    let begin = Instant::now();
    loop {
        let status = cluster.members[leader].status().await;
        if status.is_some_and(|status| status.lease_ms.is_some()) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "no lease\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until another than `old`, which is frozen, leads.
async fn other_leader(cluster: &Cluster, old: usize) -> usize {
    let begin = Instant::now();
    loop {
        for (index, member) in cluster.members.iter().enumerate() {
            if index != old
                && let Some(status) = member.status().await
                && status.leader == Some(member.node)
                && status.healthy
            {
                return index;
            }
        }
        assert!(begin.elapsed() < PATIENCE, "no other leader\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
