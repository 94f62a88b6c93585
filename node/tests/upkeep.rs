//! What operators do to nodes that run: drain them, and renew their certificates.

#[allow(unreachable_pub, reason = "shared between test binaries")]
mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use node::cli::certs::Authority;
use node::status::Role;
use node::transport::Identity;
use quorum::NodeId;
use support::{Cluster, Member, PATIENCE, put};

fn drain(member: &Member) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_synod"))
        .args(["drain", "--linger", "0", "--timeout", "30s", "--endpoint"])
        .arg(format!("127.0.0.1:{}", member.http))
        .output()
        .expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

async fn until(what: &str, cluster: &Cluster, mut good: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !good().await {
        assert!(
            begin.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}\n{}",
            cluster.logs()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The value of a series at a node's `/metrics`.
async fn metric(member: &Member, series: &str) -> Option<f64> {
    let page = member.get("/metrics").await?;
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{series} ")))?;
    line.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_leader_leads_no_more_serves_nobody_and_still_votes() {
    let mut cluster = Cluster::start(3, "majority").await;
    let first = cluster.leader().await;
    let mut client = cluster.members[first].client().await.expect("the leader answers");
    client.put(put("before", "x")).await.expect("it is done");

    let (done, said) = drain(&cluster.members[first]);
    assert!(done && said.contains("no client is left"), "{said}\n{}", cluster.logs());
    let drained = &cluster.members[first];
    let status = drained.status().await.expect("its pages are still there");
    assert!(status.draining && status.role != Role::Leader, "{status:?}");
    let ready = drained.get("/readyz").await.expect("an answer");
    assert!(ready.contains("[-]staying failed"), "{ready}");
    assert_eq!(drained.get("/livez").await.as_deref(), Some("ok\n"));
    assert!(drained.client().await.is_none(), "clients are still let in");
    client.put(put("late", "x")).await.expect_err("the door is shut");

    let second = cluster.leader().await;
    assert_ne!(second, first);
    let third = 3 - first - second;
    cluster.members[third].kill();
    // Two of three are left, so nothing is chosen without the drained one's vote.
    let mut client = cluster.members[second].client().await.expect("the new leader answers");
    client.put(put("after", "x")).await.expect("it is done");
    let (again, said) = drain(&cluster.members[first]);
    assert!(again, "whoever asks again is told the same: {said}");

    let pid = cluster.members[first].pid().to_string();
    let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
    assert!(sent.expect("kill runs").success());
    assert_eq!(cluster.members[first].ended().await.0, Some(0), "{}", cluster.logs());
    cluster.members[first].start(false);
    let begin = Instant::now();
    while cluster.members[first].client().await.is_none() {
        assert!(
            begin.elapsed() < PATIENCE,
            "a restart ends the drain\n{}",
            cluster.logs()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_says_that_nobody_else_can_lead() {
    let cluster = Cluster::start(1, "majority").await;
    let (done, said) = drain(&cluster.members[0]);
    assert!(!done && said.contains("no other node could take over"), "{said}");
}

/// Every node reaches every other.
async fn all_meet(cluster: &Cluster) {
    for member in &cluster.members {
        until("all nodes reach each other", cluster, async || {
            let status = member.status().await;
            status.is_some_and(|status| status.members.len() == 3 && status.members.iter().all(|peer| peer.connected))
        })
        .await;
    }
}

/// Waits until every node says that it has taken up what changed since `before`.
async fn all_renew(cluster: &Cluster, before: &[f64]) {
    for (member, before) in cluster.members.iter().zip(before) {
        until("the new files are taken up", cluster, async || {
            renewals(member, "ok").await > *before
        })
        .await;
    }
}

async fn renewals(member: &Member, result: &str) -> f64 {
    let series = format!("synod_tls_renewals_total{{result=\"{result}\"}}");
    metric(member, &series).await.expect("the node tells it")
}

async fn all_renewals(cluster: &Cluster) -> Vec<f64> {
    let mut counts = Vec::new();
    for member in &cluster.members {
        counts.push(renewals(member, "ok").await);
    }
    counts
}

fn write_all(path: &std::path::Path, text: &str) {
    // As whoever renews certificates does: never half a file.
    let fresh = path.with_extension("fresh");
    std::fs::write(&fresh, text).expect("written");
    std::fs::rename(&fresh, path).expect("in place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_replaced_without_a_restart_and_a_broken_file_changes_nothing() {
    let mut cluster = Cluster::start(3, "majority").await;
    all_meet(&cluster).await;
    let certs = cluster.folder.path().join("certs");
    let bundle = certs.join("ca.pem");
    let old = std::fs::read_to_string(&bundle).expect("the authority");
    let authority = Authority::create("test", 30).expect("another authority");
    let files = authority
        .write(&cluster.folder.path().join("new"), false)
        .expect("written");
    let new = std::fs::read_to_string(&files.certificate).expect("the authority");

    // Both are trusted, then everybody changes over, then only the new one is.
    let before = all_renewals(&cluster).await;
    assert_eq!(before, [0.0; 3], "nothing has changed yet");
    write_all(&bundle, &format!("{old}{new}"));
    all_renew(&cluster, &before).await;
    let before = all_renewals(&cluster).await;
    for node in 1..=3 {
        let identity = Identity::new("test", NodeId(node), &format!("region-{node}")).expect("a name");
        let issued = authority.issue(&identity, &[], 20).expect("issued");
        issued.write(&certs, &identity, true).expect("written");
    }
    all_renew(&cluster, &before).await;
    let before = all_renewals(&cluster).await;
    write_all(&bundle, &new);
    all_renew(&cluster, &before).await;

    // A node that starts now knows the new authority alone, so whoever meets it has the new certificate.
    cluster.members[1].kill();
    cluster.members[1].start(false);
    all_meet(&cluster).await;
    cluster.leader().await;

    let certificate = certs.join("node-1.pem");
    let good = std::fs::read_to_string(&certificate).expect("a certificate");
    let another = std::fs::read_to_string(certs.join("node-3.pem")).expect("a certificate");
    for broken in ["no certificate at all", &another, &good[..good.len() / 2]] {
        let before = renewals(&cluster.members[0], "fail").await;
        write_all(&certificate, broken);
        until("the broken file is noticed", &cluster, async || {
            renewals(&cluster.members[0], "fail").await > before
        })
        .await;
    }
    let logged = cluster.members[0].logged();
    assert!(logged.contains("the old certificate stays in use"), "{logged}");
    cluster.members[1].kill();
    cluster.members[1].start(false);
    all_meet(&cluster).await;
    let leader = cluster.leader().await;
    let mut client = cluster.members[leader].client().await.expect("the leader answers");
    client.put(put("k", "v")).await.expect("it is done");
}
