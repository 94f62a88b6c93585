//! Quorum system and members are changed while clients write, with the operator's own commands: what was acknowledged is there
//! at the end, all nodes hold the same, and one order explains everything that clients saw. How long writes took is told for each
//! change beside the time before it.

#[allow(unreachable_pub, reason = "shared between test binaries")]
mod history;
#[allow(unreachable_pub, reason = "shared between test binaries")]
mod support;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use history::Witnesses;
use node::relay::rtt::RttTable;
use quorum::{Proposal, Role};
use support::Cluster;
use support::writer::{Writers, assert_all_there};

/// Runs `synod` beside the cluster, whose nodes it may ask.
async fn synod(cluster: &Cluster, arguments: &[&str]) -> Output {
    let endpoints: Vec<String> = cluster
        .members
        .iter()
        .map(|member| format!("127.0.0.1:{}", member.http))
        .collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    command
        .args(arguments)
        .current_dir(cluster.folder.path())
        .env("SYNOD_ENDPOINTS", endpoints.join(","));
    tokio::task::spawn_blocking(move || command.output().expect("the binary runs"))
        .await
        .expect("no panic")
}

/// Runs `synod`, which must succeed; returns what it printed.
async fn done(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = synod(cluster, arguments).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "synod {}: {}\n{text}{complaint}\n{}",
        arguments.join(" "),
        output.status,
        cluster.logs()
    );
    println!("$ synod {}\n{text}", arguments.join(" "));
    text
}

/// How long writes took in each part of a test.
struct Stopwatch<'a> {
    witnesses: &'a Witnesses,
    parts: Vec<(String, Instant, Instant)>,
    begun: Instant,
}

impl Stopwatch<'_> {
    fn new(witnesses: &Witnesses) -> Stopwatch<'_> {
        Stopwatch {
            witnesses,
            parts: Vec::new(),
            begun: Instant::now(),
        }
    }

    /// What began with the end of the part before has ended.
    fn part(&mut self, name: impl Into<String>) {
        let now = Instant::now();
        self.parts.push((name.into(), self.begun, now));
        self.begun = now;
    }

    /// All parts, the first as what the others are compared with. Figures for people: a busy machine may tell anything.
    fn tell(&self) {
        let millis = |span: Duration| span.as_secs_f64() * 1e3;
        let (name, from, to) = &self.parts[0];
        let steady = self.witnesses.writes_between(*from, *to).p99;
        println!(
            "{:>8} {:>8} {:>9} {:>9} {:>7}  during",
            "writes", "retried", "p50, ms", "p99, ms", "p99 by"
        );
        for (part, from, to) in &self.parts {
            let writes = self.witnesses.writes_between(*from, *to);
            let ratio = writes.p99.as_secs_f64() / steady.as_secs_f64().max(1e-9);
            println!(
                "{:>8} {:>8} {:>9.1} {:>9.1} {ratio:>7.1}  {part}",
                writes.count,
                writes.failed,
                millis(writes.p50),
                millis(writes.p99)
            );
        }
        println!("p99 by: as a multiple of that of {name}");
    }
}

/// As far apart as two regions of North America, two of Europe and one of Asia, as in the demo; a sixth node is in Europe.
fn round_trip(from: u64, to: u64) -> Duration {
    let table = RttTable::aws();
    let region = |node: u64| match node {
        1 | 2 => "us-east-1",
        3 | 4 | 6 => "eu-west-1",
        _ => "ap-northeast-1",
    };
    table.round_trip(region(from), region(to)).expect("known regions")
}

fn index(cluster: &Cluster, node: u64) -> usize {
    let found = cluster.members.iter().position(|member| member.node == node);
    found.expect("it is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quorums_and_members_change_under_load_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::prepare(5, "majority");
    let address = cluster.newcomer(6);
    let newcomer = cluster.members.pop().expect("it was just added");
    let _distance = cluster.spread(&[&newcomer], round_trip);
    for member in &mut cluster.members {
        member.start(true);
    }
    cluster.leader().await;
    let writers = Writers::start(&cluster, 5, 20);
    let witnesses = Witnesses::start(&cluster, 10);
    writers.wait_for(&cluster, 100).await;
    let mut watch = Stopwatch::new(&witnesses);
    witnesses.wait_for(&cluster, 300).await;
    watch.part("steady state, before anything is changed");

    for system in ["counts 4/2", "majority"] {
        let told = done(&cluster, &["quorum", "apply", "--system", system, "--patience", "60s"]).await;
        for step in ["is chosen in slot", "is in force since slot", "is retired"] {
            assert!(told.contains(step), "{system}: {step} is missing in\n{told}");
        }
        writers.wait_for(&cluster, 100).await;
        watch.part(format!("to {system}"));
    }

    // A sixth node: it listens, catches up, votes.
    certify(&cluster, 6).await;
    cluster.members.push(newcomer);
    done(&cluster, &addition(&address)).await;
    let six = index(&cluster, 6);
    cluster.members[six].join("n6.join.toml");
    let promoted = done(&cluster, &["member", "promote", "n6", "--patience", "60s"]).await;
    assert!(promoted.contains("n6 (node 6) becomes a voter"), "{promoted}");
    watch.part("a sixth node added and promoted");
    // It needs the document once: neither its settings nor anything else but its disk names the cluster from now on.
    std::fs::remove_file(cluster.folder.path().join("n6.join.toml")).expect("it was written");
    cluster.members[six].stop();
    cluster.members[six].arguments.clear();
    cluster.members[six].start(false);
    writers.wait_for(&cluster, 100).await;
    watch.part("the sixth restarted without its document");
    for system in ["grid 2x3 columns/rows", "majority"] {
        done(&cluster, &["quorum", "apply", "--system", system, "--patience", "60s"]).await;
        writers.wait_for(&cluster, 100).await;
        watch.part(format!("to {system}"));
    }

    // The second loses its disk. Its old settings are of no use any more, and it is told what is.
    let two = index(&cluster, 2);
    cluster.members[two].kill();
    std::fs::remove_dir_all(cluster.members[two].data()).expect("it had data");
    cluster.members[two].start(false);
    let (code, reason) = cluster.members[two].ended().await;
    assert!(
        code == Some(1) && reason.contains("synod start --settings FILE --join join.toml"),
        "{code:?} {reason}"
    );
    let replaced = done(
        &cluster,
        &["member", "replace", "n2", "--out", "n2.join.toml", "--patience", "60s"],
    )
    .await;
    assert!(
        replaced.contains("the earlier life (incarnation 1) of node 2 (n2) may be switched off"),
        "{replaced}"
    );
    cluster.members[two].join("n2.join.toml");
    writers.wait_for(&cluster, 100).await;
    watch.part("a node killed, its disk wiped, taken back");

    // The fourth goes, while it leads.
    let endpoints: Vec<String> = cluster
        .members
        .iter()
        .map(|member| format!("127.0.0.1:{}", member.clients))
        .collect();
    done(
        &cluster,
        &["move-leader", "--to", "4", "--endpoints", &endpoints.join(",")],
    )
    .await;
    watch.part("leadership handed over");
    let removed = done(&cluster, &["member", "remove", "n4", "--patience", "60s"]).await;
    assert!(removed.contains("node 4 (n4) may be switched off"), "{removed}");
    let four = index(&cluster, 4);
    let mut gone = cluster.members.remove(four);
    gone.kill();
    writers.wait_for(&cluster, 100).await;
    watch.part("the leader removed");
    watch.tell();
    println!("{}", witnesses.judge().await);

    let acknowledged = writers.stop().await;
    let content = cluster.agreement().await;
    assert_all_there(&acknowledged, &content, &cluster.logs());
    let list = done(&cluster, &["member", "list", "-o", "json"]).await;
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let members = list["members"].as_array().expect("a list");
    let lives: Vec<_> = members
        .iter()
        .map(|member| {
            (
                member["node"].as_u64(),
                member["incarnation"].as_u64().map(|life| life > 1),
            )
        })
        .collect();
    let expected = [(1, false), (2, true), (3, false), (5, false), (6, true)];
    assert_eq!(lives, expected.map(|(node, later)| (Some(node), Some(later))));
    println!(
        "{} puts acknowledged, {} keys on every node; lost: 0",
        acknowledged.len(),
        content.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_puts_writes_at_risk_or_comes_too_late_is_refused_in_words_and_changes_nothing() {
    let cluster = Cluster::start(3, "majority").await;
    let risky = synod(&cluster, &["quorum", "apply", "--system", "counts 3/1"]).await;
    let complaint = String::from_utf8_lossy(&risky.stderr).into_owned();
    assert!(
        !risky.status.success() && complaint.contains("--accept-risk one-disk"),
        "{complaint}"
    );
    let status = cluster.members[0].status().await.expect("it answers");
    assert_eq!((status.epoch, status.is_changing()), (1, false));
    // The leader refuses it too, whoever asks.
    let mut wish = status.newest().expect("it has one").configuration.clone();
    wish.epoch.0 += 1;
    wish.system = "counts 3/1".parse().expect("good");
    let member = &cluster.members[0];
    let body = serde_json::json!({ "configuration": wish }).to_string();
    let answer = member.post("/v1/reconfigure", &body).await.expect("it answers");
    assert!(
        answer.contains("\"outcome\":\"refused\"") && answer.contains("its disk is lost"),
        "{answer}"
    );
    // In so many words, it is done; and a second time it is there already.
    let accepted = ["quorum", "apply", "--system", "counts 3/1", "--accept-risk", "one-disk"];
    done(&cluster, &accepted).await;
    let again = done(&cluster, &accepted).await;
    assert!(again.contains("is that configuration already"), "{again}");
    // A wish that follows on what was before is refused.
    let late = member.post("/v1/reconfigure", &body).await.expect("it answers");
    assert!(late.contains("the newest configuration has epoch 2"), "{late}");
}

/// The leader dies in the middle of each change, at a moment that differs from one to the next; the operator's command goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_completed_although_the_leader_is_killed_in_the_middle_of_it() {
    let mut cluster = Cluster::start(5, "majority").await;
    let writers = Writers::start(&cluster, 3, 20);
    let witnesses = Witnesses::start(&cluster, 3);
    for (round, system) in ["counts 4/2", "majority", "counts 2/4", "majority"]
        .into_iter()
        .enumerate()
    {
        writers.wait_for(&cluster, 50).await;
        strike(&mut cluster, &["quorum", "apply", "--system", system], round).await;
        let newest = newest(&cluster).await;
        assert_eq!(newest.system.to_string(), system);
    }

    // The same with members: one more, which is promoted; one that lost its disk; one that votes only; one less.
    let role = |newest: &Proposal, node: u64| {
        let member = newest.members.iter().find(|member| member.node.0 == node);
        member.map(|member| member.role)
    };
    certify(&cluster, 6).await;
    let address = cluster.newcomer(6);
    strike(&mut cluster, &addition(&address), 4).await;
    let six = index(&cluster, 6);
    cluster.members[six].join("n6.join.toml");
    strike(&mut cluster, &["member", "promote", "n6"], 0).await;
    assert_eq!(role(&newest(&cluster).await, 6), Some(Role::Voter));
    writers.wait_for(&cluster, 50).await;

    cluster.members[six].kill();
    std::fs::remove_dir_all(cluster.members[six].data()).expect("it had data");
    strike(
        &mut cluster,
        &["member", "replace", "n6", "--out", "again.join.toml"],
        2,
    )
    .await;
    cluster.members[six].arguments.clear();
    cluster.members[six].join("again.join.toml");
    writers.wait_for(&cluster, 50).await;

    strike(&mut cluster, &["member", "role", "n6", "acceptor"], 3).await;
    assert_eq!(role(&newest(&cluster).await, 6), Some(Role::Acceptor));
    strike(&mut cluster, &["member", "remove", "n6"], 1).await;
    assert_eq!(role(&newest(&cluster).await, 6), None);
    cluster.members.remove(six).kill();

    writers.wait_for(&cluster, 50).await;
    println!("{}", witnesses.judge().await);
    let acknowledged = writers.stop().await;
    let content = cluster.agreement().await;
    assert_all_there(&acknowledged, &content, &cluster.logs());
    println!(
        "{} puts acknowledged, {} keys on every node; lost: 0",
        acknowledged.len(),
        content.len()
    );
}

/// Makes a change while its leader is killed: in round 0 before it is asked for, later while the window is filled, or a
/// little after.
async fn strike(cluster: &mut Cluster, change: &[&str], round: usize) {
    let leader = cluster.leader().await;
    let next = newest(cluster).await.epoch.0 + 1;
    let change: Vec<&str> = change.iter().copied().chain(["--patience", "60s"]).collect();
    let (output, ()) = tokio::join!(synod(cluster, &change), async {
        if round > 0 {
            wait_for_change(cluster, next).await;
            tokio::time::sleep(Duration::from_millis(round as u64 * 3)).await;
        }
        let pid = cluster.members[leader].pid().to_string();
        let killed = Command::new("kill").args(["-9", &pid]).status();
        assert!(killed.expect("kill is there").success());
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{change:?}: {text}{complaint}\n{}",
        cluster.logs()
    );
    cluster.members[leader].kill();
    cluster.members[leader].start(false);
    cluster.leader().await;
}

/// The newest configuration, as the leader knows it.
async fn newest(cluster: &Cluster) -> Proposal {
    let begin = Instant::now();
    loop {
        // For a while others may take for the leader who was just killed and does not answer yet.
        let leader = &cluster.members[cluster.leader().await];
        if let Some(status) = leader.status().await
            && status.leader == Some(leader.node)
        {
            return status.newest().expect("it has one").configuration.clone();
        }
        assert!(begin.elapsed() < support::PATIENCE, "nobody leads\n{}", cluster.logs());
    }
}

/// The command that adds the sixth node, which peers reach there.
fn addition(address: &str) -> [&str; 9] {
    [
        "member",
        "add",
        "n6",
        "--region",
        "region-6",
        "--address",
        address,
        "--out",
        "n6.join.toml",
    ]
}

/// Makes a certificate for one more node.
async fn certify(cluster: &Cluster, node: u64) {
    let (number, region) = (node.to_string(), format!("region-{node}"));
    let certificate = [
        "certs",
        "node",
        "--dir",
        "certs",
        "--cluster",
        "test",
        "--node",
        &number,
        "--region",
        &region,
    ];
    done(cluster, &certificate).await;
}

/// Waits until some node knows the configuration of this number.
async fn wait_for_change(cluster: &Cluster, epoch: u64) {
    let begin = std::time::Instant::now();
    loop {
        for member in &cluster.members {
            let status = member.status().await;
            let newest = status.and_then(|status| status.newest().map(|newest| newest.configuration.epoch.0));
            if newest >= Some(epoch) {
                return;
            }
        }
        assert!(begin.elapsed() < support::PATIENCE, "epoch {epoch} does not come");
    }
}
