//! A rolling upgrade with real processes: two builds that speak different wire versions in one cluster, under load, one node
//! after the other.
//!
//! The older build is this one, told to speak the older version only; `UPGRADE_FROM` names a real one to begin with instead.

#[allow(unreachable_pub, reason = "shared between test binaries")]
mod support;

use std::time::{Duration, Instant};

use node::transport::wire::VERSIONS;
use support::writer::{Writers, assert_all_there};
use support::{Cluster, Member, PATIENCE};

const NODES: usize = 3;

/// What tells a node to speak these versions.
fn speaking(oldest: u16, newest: u16) -> Vec<String> {
    vec!["--wire-versions".to_owned(), format!("{oldest}-{newest}")]
}

/// Waits until a node has all that the others have, and talks to each of them in the version that is expected of `versions`.
async fn settled(cluster: &Cluster, index: usize, versions: &dyn Fn(usize) -> u16) {
    let begin = Instant::now();
    loop {
        let status = cluster.members[index].status().await;
        let talked: Vec<_> = status
            .iter()
            .flat_map(|status| &status.members)
            .filter(|member| member.node != cluster.members[index].node)
            .map(|member| member.wire_version)
            .collect();
        let expected: Vec<_> = (0..NODES)
            .filter(|other| *other != index)
            .map(|other| Some(versions(other)))
            .collect();
        if talked == expected
            && status
                .as_ref()
                .is_some_and(|status| status.leader.is_some() && status.lag() < 100)
        {
            return;
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "node {} talks in versions {talked:?} and not {expected:?}, or is behind: {status:?}\n{}",
            cluster.members[index].node,
            cluster.logs()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the node has counted of peers that speak no version that it speaks.
async fn refusals(member: &Member) -> f64 {
    let metrics = member.get("/metrics").await.unwrap_or_default();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("synod_peer_rejections_total") && line.contains("\"wire_version\""));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_two_builds_work_together_while_a_cluster_is_upgraded_under_load() {
    let old = VERSIONS.newest;
    let new = old + 1;
    let mut cluster = Cluster::prepare(NODES as u64, "majority");
    let older_binary = std::env::var_os("UPGRADE_FROM");
    for member in &mut cluster.members {
        match &older_binary {
            Some(binary) => member.binary = binary.into(),
            None => member.arguments = speaking(VERSIONS.oldest, old),
        }
        member.start(true);
    }
    cluster.leader().await;
    let writers = Writers::start(&cluster, 3, 20);
    writers.wait_for(&cluster, 100).await;

    // Each node becomes the newer build, which speaks both; those that are not yet speak the older one.
    for index in 0..NODES {
        cluster.members[index].stop();
        writers.wait_for(&cluster, 30).await;
        cluster.members[index].binary = env!("CARGO_BIN_EXE_synod").into();
        cluster.members[index].arguments = speaking(VERSIONS.oldest, new);
        cluster.members[index].start(false);
        settled(&cluster, index, &|other| if other < index { new } else { old }).await;
        writers.wait_for(&cluster, 30).await;
    }
    // And then the build after it, which has forgotten the older one.
    for index in 0..NODES {
        cluster.members[index].stop();
        cluster.members[index].arguments = speaking(new, new);
        cluster.members[index].start(false);
        settled(&cluster, index, &|_| new).await;
        writers.wait_for(&cluster, 30).await;
    }
    // Two steps at once, backwards: that node is told why nobody talks to it, and the others go on.
    cluster.members[2].stop();
    cluster.members[2].arguments = speaking(VERSIONS.oldest, old);
    cluster.members[2].start(false);
    let begin = Instant::now();
    while refusals(&cluster.members[0]).await + refusals(&cluster.members[1]).await == 0.0 {
        assert!(begin.elapsed() < PATIENCE, "nobody refuses it\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    writers.wait_for(&cluster, 30).await;
    let advice = format!("the peer speaks wire version {new} and this node speaks");
    let begin = Instant::now();
    while !cluster.members[2].logged().contains(&advice) {
        assert!(begin.elapsed() < PATIENCE, "it does not say why\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.members[2].stop();
    cluster.members[2].arguments = speaking(new, new);
    cluster.members[2].start(false);

    let acknowledged = writers.stop().await;
    let content = cluster.agreement().await;
    assert_all_there(&acknowledged, &content, &cluster.logs());
    println!(
        "{} puts acknowledged, {} keys on every node; lost: 0",
        acknowledged.len(),
        content.len()
    );
}
